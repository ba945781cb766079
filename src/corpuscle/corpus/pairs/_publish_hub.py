"""A data set repository on the Hugging Face Hub, or on another server that speaks as it does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from corpuscle.corpus.pairs._publish_web import safe_base, secret, told
from corpuscle.errors import OptionError

__all__ = ["HubPublisher"]


class HubPublisher:
    """Collects files and commits them together: archives in one commit; rows, manifest and card in another.

    Parameters
    ----------
    repository
        ``"owner/name"``; made where it is not there.
    private
        Make a new repository private. Links into a private repository work only for those who may read it.
    base
        Address of the server.
    token_variable
        Name of the environment variable with the access token.
    """

    nested = True

    def __init__(
        self,
        repository: str,
        *,
        private: bool = True,
        base: str | None = None,
        token_variable: str = "HF_TOKEN",
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*", repository):
            raise OptionError(f"{repository!r}: is no name of a repository; give owner/name")
        self.repository = repository
        self.private = private
        self.base = safe_base(base or _usual_hub())
        self.token_variable = token_variable
        self._waiting: dict[str, Path] = {}

    def put(self, path: Path, name: str) -> str:
        """Take one file for the next commit, and return the link that it will have.

        Raises
        ------
        OptionError
            The token is not in the environment.
        """
        secret(self.token_variable)
        self._waiting[name] = path
        return f"{self.base}/datasets/{self.repository}/resolve/main/{quote(name)}"

    def finish(self) -> None:
        """Commit what is waiting.

        Raises
        ------
        OptionError
            The token is not in the environment.
        OutputError
            The server refused or was not there; nothing of it is visible then.
        """
        if not self._waiting:
            return
        names = sorted(self._waiting)
        what = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        with told(what, urlsplit(self.base).hostname or self.base):
            from huggingface_hub import CommitOperationAdd, HfApi

            api: Any = HfApi(endpoint=self.base, token=secret(self.token_variable))
            api.whoami()  # a wrong token is told here; later calls hide it
            api.create_repo(self.repository, repo_type="dataset", private=self.private, exist_ok=True)
            operations = [
                CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(self._waiting[name])) for name in names
            ]
            message = f"Add {what}"
            api.create_commit(self.repository, operations, commit_message=message, repo_type="dataset")
        self._waiting.clear()


def _usual_hub() -> str:
    """Where huggingface_hub goes by itself, which HF_ENDPOINT can change."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
