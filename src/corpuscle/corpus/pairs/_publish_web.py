"""What the publishers that speak HTTP share: secrets from the environment, and one line for whatever goes wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from corpuscle.errors import MethodError, OptionError, OutputError

__all__ = ["safe_base", "secret", "told"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def secret(variable: str) -> str:
    """A credential from the environment; it is read where it is used and kept nowhere.

    Raises
    ------
    OptionError
        The variable is not set.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        raise OptionError(
            f"the environment variable {variable} is not set; put the credential there, not on the command line"
        )
    return value


def safe_base(url: str) -> str:
    """An address that credentials may be sent to: HTTPS, or this machine; none of them in the address itself.

    Raises
    ------
    OptionError
        It is another.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OptionError(f"{url!r}: is no web address; give one that starts with https://")
    if parts.username or parts.password:
        raise OptionError(f"the address of {parts.hostname} has credentials in it; put them into environment variables")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise OptionError(f"{url!r}: credentials are not sent without encryption; give an https:// address")
    if parts.query or parts.fragment:
        raise OptionError(f"{url!r}: has a query or fragment; give the plain address")
    return url.rstrip("/")


@contextmanager
def told(name: str, where: str) -> Iterator[None]:
    """Turn what an HTTP library raises into one line that names file and server, and no credential."""
    try:
        yield
    except (OptionError, OutputError, MethodError):
        raise
    except ImportError as error:
        raise MethodError(f"{where}: needs the package {error.name}; run: pip install 'corpuscle[remote]'") from None
    except Exception as error:  # three HTTP libraries, each with errors of its own
        raise OutputError(f"{name}: could not be sent to {where} ({_why(error)}); try again") from None


def _why(error: Exception) -> str:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "status_code", None)
    if status is not None:
        hints = {
            401: "credentials refused",
            403: "not allowed",
            404: "no such place",
            413: "too large",
            507: "no space left",
        }
        return f"HTTP {status}" + (f", {hints[status]}" if status in hints else "")
    words = " ".join(str(error).split())
    return re.sub(r"(?i)(bearer|basic|token|password)[ =:]+\S+", r"\1 …", words)[:200] or type(error).__name__
