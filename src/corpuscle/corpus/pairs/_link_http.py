"""One HTTP transfer into a partial file: resumed where the server allows, bounded in size, each failure told apart."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import IO, Any

from corpuscle.corpus.pairs._link_cache import Entry
from corpuscle.corpus.pairs._link_errors import DeadLink, SharePage, TooLarge, TruncatedArchive
from corpuscle.corpus.pairs._link_words import About
from corpuscle.errors import OutputError

__all__ = ["download_http"]

_CHUNK = 1 << 20
_ATTEMPTS = 4
_PAUSE = 0.1  # seconds, doubled at each attempt
_PASSING = frozenset({429, 500, 502, 503, 504})  # what a busy server says and takes back a moment later


class _Dropped(Exception):
    """The connection ended before the file did."""


@dataclass
class _Reply:
    response: Any
    offset: int
    total: int | None
    etag: str
    validator: str


def download_http(url: str, entry: Entry, about: About, *, max_bytes: int, timeout: float) -> str:
    """Fetch ``url`` into ``entry.part`` and return its ETag ("" where it has none).

    A dropped connection is taken up where it stopped if the server gave a validator and takes ranges; only then is the
    partial file kept when all attempts fail.

    Raises
    ------
    DeadLink, SharePage, TruncatedArchive, TooLarge
        See the classes.
    OutputError
        The disk is full or the cache cannot be written.
    """
    for attempt in range(_ATTEMPTS):
        last = attempt == _ATTEMPTS - 1
        if attempt:
            time.sleep(_PAUSE * 2**attempt)
        try:
            reply = _ask(url, entry, about, timeout, last)
            with reply.response:
                if reply.validator:
                    entry.remember(url, reply.validator)
                _receive(reply, entry, about, max_bytes)
            return reply.etag
        except _Dropped as dropped:
            if last:
                kept = "; what came is kept, call again to go on" if entry.remembered(url) else "; call again"
                raise TruncatedArchive(f"{about}: the transfer ended too early ({dropped}){kept}") from None
    raise AssertionError("unreachable")


class _Plain(urllib.request.HTTPRedirectHandler):
    """Redirections go to http(s) only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.lower().startswith(("http://", "https://")):
            raise urllib.error.HTTPError(req.full_url, code, "redirected to another scheme", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _ask(url: str, entry: Entry, about: About, timeout: float, last: bool) -> _Reply:
    validator = entry.remembered(url)
    offset = entry.part.stat().st_size if validator else 0
    request = urllib.request.Request(url, headers={"User-Agent": "corpuscle", "Accept-Encoding": "identity"})
    if validator and offset:
        request.add_header("Range", f"bytes={offset}-")
        request.add_header("If-Range", validator)
    try:
        response = urllib.request.build_opener(_Plain).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the partial file does not belong to what is there now
            entry.drop()
            raise _Dropped("the file on the server changed") from None
        if error.code in _PASSING and not last:
            raise _Dropped(f"status {error.code}") from None
        dead = DeadLink(f"{about}: the server answers {error.code} {_plain(error.reason)}; {_advice(error.code)}")
        dead.status = error.code
        raise dead from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        text = f"{about}: no answer ({_plain(reason)}); see that the server runs and the link is right"
        raise DeadLink(text) from None
    return _judge(response, offset, about)


def _plain(reason: object) -> str:
    return str(reason).encode("unicode_escape").decode("ascii")[:200] or type(reason).__name__


def _advice(code: int) -> str:
    if code in (401, 403, 407):
        return "share the file for everyone who reads the data set"
    return "the file was moved or removed: mend the server or correct the link"


def _judge(response: Any, offset: int, about: About) -> _Reply:
    headers = response.headers
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        response.close()
        raise SharePage(f"{about}: is a web page, not an archive; use the link of the file itself")
    start, total = 0, _number(headers.get("Content-Length"))
    if response.status == 206:
        span, _, whole = (headers.get("Content-Range") or "").removeprefix("bytes ").partition("/")
        start, total = _number(span.partition("-")[0]) or 0, _number(whole)
        if start != offset:
            response.close()
            raise DeadLink(f"{about}: the server sends another part than the one asked for; mend the server")
    etag = headers.get("ETag") or ""
    # A weak tag does not promise the same bytes.
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified") or ""
    ranges = response.status == 206 or headers.get("Accept-Ranges", "").lower() == "bytes"
    return _Reply(response, start, total, etag[:200], validator[:200] if ranges else "")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None


def _receive(reply: _Reply, entry: Entry, about: About, max_bytes: int) -> None:
    if reply.total is not None and reply.total > max_bytes:
        raise TooLarge(f"{about}: is {reply.total:,} bytes and the limit is {max_bytes:,}; allow more if you trust it")
    got = reply.offset
    try:
        file: IO[bytes] = entry.part.open("ab" if reply.offset else "wb")
    except OSError as error:
        raise _unwritable(entry, error) from None
    with file:
        while True:
            try:
                chunk = reply.response.read(_CHUNK)
            except (http.client.HTTPException, OSError) as error:
                raise _Dropped(_plain(error)) from None
            if not chunk:
                break
            got += len(chunk)
            if got > max_bytes:
                raise TooLarge(f"{about}: is over the limit of {max_bytes:,} bytes; allow more if you trust it")
            try:
                file.write(chunk)
            except OSError as error:
                raise _unwritable(entry, error) from None
    if reply.total is not None and got != reply.total:
        raise _Dropped(f"{got:,} of {reply.total:,} bytes came")


def _unwritable(entry: Entry, error: OSError) -> OutputError:
    return OutputError(f"{entry.cache}: cannot be written ({error.strerror}); free some space or name another cache")
