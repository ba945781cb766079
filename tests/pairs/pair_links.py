"""Archives of real cells, and a server on the loopback address that behaves as well or as badly as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from pair_cells import chunks

__all__ = ["Page", "Site", "archives", "rows_of", "serve"]


@dataclass
class Page:
    """What the server says at one path: ``cut`` bytes only are sent of those that are announced."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/octet-stream"
    etag: str = ""
    cut: int | None = None
    cuts: int = -1  # how often it is cut off; -1 for ever
    announce: bool = True
    wait: float = 0.0


@dataclass
class Site:
    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serve() -> Iterator[Site]:
    """Serve ``site.pages``; ``site.asked`` has the path and range of each request."""
    site = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, wanted = self.path.partition("?")[0], self.headers.get("Range")
            site.asked.append((path, wanted))
            page = site.pages.get(path, Page(b"gone", 404))
            if page.wait:
                threading.Event().wait(page.wait)
            body, start = page.body, 0
            ranged = bool(wanted and page.etag and self.headers.get("If-Range") == page.etag)
            if ranged:
                start = int(str(wanted).removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if ranged else page.status)
            self.send_header("Content-Type", page.kind)
            if page.etag:
                self.send_header("ETag", page.etag)
                self.send_header("Accept-Ranges", "bytes")
            if ranged:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if page.announce:
                self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if page.cut is not None and page.cuts != 0:
                page.cuts -= 1
                body = body[: page.cut]
            self.wfile.write(body[start:])

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that hung up is what some tests are about

    server = Server(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def archives(folder: Path, format: str = "zarr.zip", *, n_parts: int = 3, sparse: bool = False) -> list[Any]:
    """Archives of the three chunks of real cells with embeddings ``X_pca`` (3 wide) and ``X_hvg`` (5 wide)."""
    from corpuscle.corpus.pairs.archives import write_archive

    made = []
    for k, part in enumerate(chunks()[:n_parts]):
        counts_ng = sp.csr_matrix(part.X, dtype=np.int32)
        log_ng = sp.csr_matrix(counts_ng, dtype=np.float64)
        log_ng = sp.diags_array(1e4 / np.asarray(log_ng.sum(axis=1)).ravel()) @ log_ng
        x_ng = sp.csr_matrix(log_ng.log1p(), dtype=np.float32)
        hvg = x_ng[:, :5]
        obsm = {
            "X_pca": np.random.default_rng(k).normal(size=(part.n_obs, 3)).astype(np.float32),
            "X_hvg": hvg if sparse else hvg.toarray(),
        }
        path = folder / f"chunk_{k}.{format}"
        made.append((write_archive(path, x_ng, counts_ng, part.obs, part.var, obsm, format=format), part))
    return made


def rows_of(made: list[Any], links: list[str], *, checked: bool = True) -> Any:
    """A data set with one row a cell."""
    from datasets import Dataset

    tables = []
    for (archive, part), link in zip(made, links, strict=True):
        table = pd.DataFrame({"sample_idx": list(part.obs_names), "obs_name": list(part.obs_names)})
        table["positive"] = ("A " + part.obs["cell_type"].astype(str) + " cell.").to_numpy()
        table["adata_link"] = link
        table["adata_sha256"] = archive.sha256 if checked else None
        table["adata_format"] = archive.format
        tables.append(table)
    return Dataset.from_pandas(pd.concat(tables, ignore_index=True), preserve_index=False)
