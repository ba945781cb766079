"""A large file to a Nextcloud in pieces, so that neither its limits nor one dropped connection stop it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

__all__ = ["send_pieces"]

#: Most pieces of one file that a server takes.
MOST_PIECES = 10_000
_BLOCK = 1 << 20
_TRIES = 3
_PAUSE = 1.0  # seconds, doubled at each try
_PASSING = frozenset({423, 429, 500, 502, 503, 504})
#: Seconds in which a server puts the pieces together.
_ASSEMBLY = 3600.0


def send_pieces(http: httpx.Client, uploads: str, path: Path, destination: str, piece_bytes: int) -> None:
    """Send a file by Nextcloud's protocol for large ones.

    A folder of its own takes the pieces under their numbers; moving its ``.file`` puts them together at the destination. A piece
    that fails in passing is sent again. If it cannot be sent, the server is asked to drop the pieces.

    Parameters
    ----------
    http
        Client with credentials.
    uploads
        Address of the user's uploads, ``.../remote.php/dav/uploads/<user>``.
    path
        The file; it is read block by block.
    destination
        Address where it shall be, whole.
    piece_bytes
        Size of a piece; larger where the file would have too many of them.
    """
    size = path.stat().st_size
    piece_bytes = max(piece_bytes, -(-size // MOST_PIECES))
    transfer = f"{uploads}/corpuscle-{secrets.token_hex(16)}"
    # Both belong to every request of the second version; the first version ignores them.
    about = {"Destination": destination, "OC-Total-Length": str(size)}
    _ask(http, "MKCOL", transfer, about)
    try:
        for number, start in enumerate(range(0, size, piece_bytes), 1):
            # The first version puts pieces in the order of their names, the second in that of their numbers.
            _send_one(http, f"{transfer}/{number:05d}", about, path, start, min(piece_bytes, size - start))
        _ask(http, "MOVE", f"{transfer}/.file", about | {"Overwrite": "T"}, timeout=_ASSEMBLY)
    except BaseException:
        with suppress(Exception):  # the server forgets them by itself after a day
            http.request("DELETE", transfer)
        raise


def _ask(http: httpx.Client, method: str, url: str, headers: dict[str, str], timeout: float | None = None) -> None:
    more = {} if timeout is None else {"timeout": timeout}
    http.request(method, url, headers=headers, **more).raise_for_status()  # type: ignore[arg-type]


def _send_one(http: httpx.Client, url: str, about: dict[str, str], path: Path, start: int, size: int) -> None:
    import httpx

    headers = about | {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    for attempt in range(_TRIES):
        last = attempt == _TRIES - 1
        if attempt:
            time.sleep(_PAUSE * 2 ** (attempt - 1))
        try:
            answer = http.put(url, content=_blocks(path, start, size), headers=headers)
        except httpx.TransportError:
            if last:
                raise
            continue
        if answer.status_code in _PASSING and not last:
            continue
        answer.raise_for_status()
        return


def _blocks(path: Path, start: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while size and (block := file.read(min(_BLOCK, size))):
            size -= len(block)
            yield block
