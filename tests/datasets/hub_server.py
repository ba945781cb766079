"""A server on 127.0.0.1 that speaks enough of the Hub's protocol to be downloaded from, and to misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/some-data"


@dataclass
class Hub:
    """What is served, and how; ``asked`` records (method, path, Range)."""

    files: dict[str, bytes]
    served: dict[str, bytes] = field(default_factory=dict)  # instead of the true bytes
    plain: set[str] = field(default_factory=set)  # not in LFS: only a git checksum
    cut_after: list[int] = field(default_factory=list)  # bytes before each of the first answers breaks off
    ranges: bool = True
    listing: Any = None  # instead of the true listing
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    endpoint: str = ""

    def info(self) -> Any:
        if self.listing is not None:
            return self.listing
        siblings = []
        for path, content in self.files.items():
            sibling: dict[str, Any] = {"rfilename": path, "size": len(content)}
            sibling["blobId"] = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            if path not in self.plain:
                digest = hashlib.sha256(content).hexdigest()
                sibling["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 130}
            siblings.append(sibling)
        return {"id": REPO, "sha": COMMIT, "siblings": siblings}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        path = unquote(urlparse(self.path).path)
        self.hub.asked.append(("GET", path, self.headers.get("Range")))
        self.hub.tokens.append(self.headers.get("Authorization"))
        if path.startswith(f"/api/datasets/{REPO}/revision/"):
            if not path.endswith(("/main", f"/{COMMIT}")):
                return self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return self._answer(200, json.dumps(self.hub.info()).encode())
        if path.startswith("/api/"):
            return self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        name = path.removeprefix(f"/datasets/{REPO}/resolve/{COMMIT}/")
        if name not in self.hub.files:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        return self._file(name)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, name: str) -> None:
        body = self.hub.served.get(name, self.hub.files[name])
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.hub.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", f'"{hashlib.sha256(self.hub.files[name]).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        body = body[start:]
        if self.hub.cut_after:
            self.wfile.write(body[: self.hub.cut_after.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(body)


@contextmanager
def serving(files: dict[str, bytes], **how: Any) -> Iterator[Hub]:
    hub = Hub(files, **how)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
