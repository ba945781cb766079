"""Small servers on the loopback address that speak as Zenodo, Nextcloud's share interface and the Hub do."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["Hub", "Nextcloud", "Zenodo", "running", "webdav"]


class Quiet(BaseHTTPRequestHandler):
    """Keeps what is asked in ``server.state`` and answers JSON."""

    protocol_version = "HTTP/1.1"

    @property
    def state(self) -> Any:
        return self.server.state  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


class Zenodo(Quiet):
    """``state``: files by name, token, drafts made, and ``damage`` (keep other bytes)."""

    def allowed(self) -> bool:
        data = self.body() if self.command != "GET" else b""
        self.data = data
        if self.headers.get("Authorization") != f"Bearer {self.state['token']}":
            self.answer({"message": "no"}, 401)
            return False
        return True

    def do_POST(self) -> None:
        if self.allowed():
            self.state["drafts"] += 1
            self.state["metadata"] = json.loads(self.data)
            self.answer({"id": 77, "links": {"bucket": f"{self.state.get('bucket', self.base)}/api/files/b-1"}}, 201)

    def do_GET(self) -> None:
        if self.allowed():
            self.answer({"id": 77, "links": {"bucket": f"{self.base}/api/files/b-1"}})

    def do_PUT(self) -> None:
        if self.allowed():
            kept = self.data[:-1] if self.state.get("damage") else self.data
            self.state["files"][unquote(self.path).removeprefix("/api/files/b-1/")] = kept
            self.answer({"checksum": f"md5:{hashlib.md5(kept).hexdigest()}", "size": len(kept)}, 201)


class Nextcloud(Quiet):
    """The share interface; WebDAV below ``remote.php`` is kept in memory. ``state``: files, folders, shares, user.

    Below ``uploads`` it takes pieces as Nextcloud does in the second version of its protocol. ``state["asked"]`` has method, path
    and length of all requests but of reading; ``busy`` names paths that answer 503 so many times, ``lose`` a piece it forgets.
    """

    def allowed(self) -> bool:
        self.data = self.body()
        if self.command not in ("GET", "PROPFIND"):
            self.state.setdefault("asked", []).append((self.command, self.place, len(self.data)))
        busy = self.state.get("busy", {})
        number = self.place.rsplit("/", 1)[1]
        if self.command == "PUT" and busy.get(number):
            busy[number] -= 1
            self.done(503)
            return False
        expected = base64.b64encode(self.state["user"].encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self.answer({}, 401)
            return False
        return True

    def done(self, status: int, data: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    @property
    def place(self) -> str:
        return unquote(urlsplit(self.path).path)

    def do_PROPFIND(self) -> None:
        if not self.allowed():
            return None
        if self.place.rstrip("/") in self.state["folders"]:
            kind, size = "<d:collection/>", 0
        elif self.place in self.state["files"]:
            kind, size = "", len(self.state["files"][self.place])
        else:
            return self.done(404)
        props = f"<d:resourcetype>{kind}</d:resourcetype><d:getcontentlength>{size}</d:getcontentlength>"
        status = "<d:status>HTTP/1.1 200 OK</d:status>"
        text = f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:"><d:response><d:href>{urlsplit(self.path).path}</d:href>'
        text += f"<d:propstat><d:prop>{props}</d:prop>{status}</d:propstat></d:response></d:multistatus>"
        return self.done(207, text.encode())

    @property
    def transfer(self) -> str | None:
        """The folder of pieces that is asked for."""
        parts = self.place.strip("/").split("/")
        return "/" + "/".join(parts[:5]) if parts[:4] == ["remote.php", "dav", "uploads", "me"] else None

    @property
    def target(self) -> str:
        return unquote(urlsplit(self.headers["Destination"] or "").path)

    def refused(self) -> bool:
        """What Nextcloud does not take: its own ending, a folder that is not there, a piece that says not where to."""
        if self.transfer is None:
            written = self.target if self.command == "MOVE" else self.place.rstrip("/")
            if written.endswith(".part") or written.rsplit("/", 1)[0] not in self.state["folders"]:
                self.done(400 if written.endswith(".part") else 409)
                return True
            return False
        number = self.place.rsplit("/", 1)[1]
        named = self.command != "PUT" or (number.isdigit() and 1 <= int(number) <= 10_000)
        there = self.command == "MKCOL" or self.transfer in self.state["folders"]
        if not self.target.startswith("/remote.php/dav/files/me/") or not named or not there:
            self.done(404 if not there else 400)
            return True
        return False

    def do_MKCOL(self) -> None:
        if self.allowed() and not self.refused():
            self.state["folders"].add(self.place.rstrip("/"))
            self.done(201)

    def do_PUT(self) -> None:
        if self.allowed() and not self.refused():
            self.state["files"][self.place] = self.data
            self.done(201)

    def do_MOVE(self) -> None:
        if not self.allowed() or self.refused():
            return None
        if self.transfer is None:
            self.state["files"][self.target] = self.state["files"].pop(self.place)
            return self.done(201)
        assert self.place == f"{self.transfer}/.file"
        pieces = sorted(path for path in self.state["files"] if path.startswith(f"{self.transfer}/"))
        whole = b"".join(self.state["files"][path] for path in pieces if not path.endswith(self.state.get("lose", "-")))
        if str(len(whole)) != self.headers["OC-Total-Length"]:
            return self.done(400)
        self.state["files"][self.target] = whole
        self.forget()
        return self.done(201)

    def do_DELETE(self) -> None:
        if self.allowed():
            assert self.transfer == self.place
            self.forget()
            self.done(204)

    def forget(self) -> None:
        """Drop the pieces of a transfer and their folder."""
        for path in [path for path in self.state["files"] if path.startswith(f"{self.transfer}/")]:
            del self.state["files"][path]
        self.state["folders"].discard(self.transfer)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith("/s/"):  # public, no password asked
            token = parts.path.split("/")[2]
            file = next(path for path, known in self.state["shares"].items() if known == token)
            data = (
                self.state["files"][f"/remote.php/dav/files/me{file}"]
                if parts.path.endswith("/download")
                else b"<html>"
            )
            return self.done(200, data)
        if self.allowed():
            path = parse_qs(parts.query)["path"][0]
            token = self.state["shares"].get(path)
            if token is None:
                return self.answer({"ocs": {"meta": {"statuscode": 404}, "data": []}}, 404)
            share = {"share_type": 3, "url": f"{self.state.get('server', self.base)}/s/{token}", "password": None}
            self.answer({"ocs": {"meta": {"statuscode": 200}, "data": [share]}})
        return None

    def do_POST(self) -> None:
        if self.allowed():
            asked = parse_qs(self.data.decode())
            assert (
                asked["shareType"] == ["3"]
                and asked["permissions"] == ["1"]
                and self.headers["OCS-APIRequest"] == "true"
            )
            if self.state.get("forbid"):
                return self.answer({"ocs": {"meta": {"statuscode": 403, "message": "no public links"}, "data": []}})
            token = f"t{len(self.state['shares'])}"
            self.state["shares"][asked["path"][0]] = token
            self.answer(
                {
                    "ocs": {
                        "meta": {"statuscode": 200},
                        "data": {"url": f"{self.state.get('server', self.base)}/s/{token}"},
                    }
                }
            )
        return None


class Hub(Quiet):
    """Takes commits of small files. ``state``: files, commits, token."""

    def do_POST(self) -> None:
        data = self.body()
        if self.headers.get("Authorization") != f"Bearer {self.state['token']}":
            return self.answer({"error": "no"}, 401)
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            self.state["made"] = json.loads(data)
            return self.answer({"url": f"{self.base}/datasets/me/pairs"})
        if self.path.endswith("/preupload/main"):
            asked = json.loads(data)["files"]
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked]
            return self.answer({"files": files})
        commit = []
        for line in data.decode().splitlines():
            item = json.loads(line)
            if item["key"] == "file":
                self.state["files"][item["value"]["path"]] = base64.b64decode(item["value"]["content"])
                commit.append(item["value"]["path"])
        self.state["commits"].append(commit)
        oid = f"{len(self.state['commits']):040x}"
        return self.answer(
            {"commitOid": oid, "commitUrl": f"{self.base}/datasets/me/pairs/commit/{oid}", "hookOutput": ""}
        )

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {self.state['token']}":
            return self.answer({"error": "no"}, 401)
        return self.answer(
            {"name": "me", "type": "user", "id": "me/pairs", "sha": "0" * 40, "siblings": [], "orgs": []}
        )


@contextmanager
def running(kind: type[Quiet], **state: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A server of one kind: its address and what it keeps."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", state
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def webdav(folder: str, user: str, password: str) -> Iterator[str]:
    """A real WebDAV server that writes into ``folder``."""
    from cheroot import wsgi
    from wsgidav.wsgidav_app import WsgiDAVApp

    config = {
        "provider_mapping": {"/": folder},
        "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "verbose": 0,
        "logging": {"enable": False},
    }
    server = wsgi.Server(("127.0.0.1", 0), WsgiDAVApp(config), numthreads=2)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
