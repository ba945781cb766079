"""Speed and memory of refinement on a graph, against named peers, printed as docs/evidence/annotation-speed.md.

    python -m benches.annotate [--cells 1000000] [--sizes 5000,20000,...] [--limit 600] [--write]

Cells are draws from 40 clouds in 50 dimensions that lie partly in each other; their graph is that of the 15 nearest
neighbours (pynndescent) with UMAP's weights. Cells and graphs are kept in build/annotation-speed. Every figure is of a
process of its own, imports and compilation left out; one that needs more than ``--limit`` seconds or ``--memory`` GiB is
stopped, and the page says so.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benches import _annotation_snippets as snippets
from benches._machine import PRELUDE, machine
from benches._pages import say, table

HERE = Path(__file__).parent
TEMPLATE = HERE / "annotation_speed.md"
PAGE = HERE.parent / "docs" / "evidence" / "annotation-speed.md"
BUILD = HERE.parent / "build" / "annotation-speed"
SIZES = (5_000, 20_000, 50_000, 200_000, 1_000_000)
NEIGHBOUR_SIZES = (20_000, 200_000)
ENGINES = ("pynndescent", "pynndescent, n_jobs=1", "scikit-learn", "scanpy")
N_TYPES, N_DIMS, K = 40, 50, 15
#: Beyond this size a table of lambdas would take long and say the same, since iterations do not grow with it.
LAMBDA_CELLS = 200_000
Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=SIZES[-1], help="The largest number of cells.")
    parser.add_argument("--sizes", help="Numbers of cells instead of the usual ones, with commas.")
    parser.add_argument("--limit", type=float, default=600, help="Seconds that one measurement may take.")
    parser.add_argument("--memory", type=float, default=16, help="GiB that one measurement may take.")
    parser.add_argument("--write", action="store_true", help=f"Write {PAGE.name} too.")
    args = parser.parse_args()
    sizes = (
        [int(n) for n in args.sizes.split(",")] if args.sizes else [n for n in SIZES if n < args.cells] + [args.cells]
    )
    made = {n: cells(n) for n in sizes}
    limits = (args.limit, args.memory)
    parts = {
        "machine": machine(),
        "limit": f"{args.limit:.0f}",
        "memory": f"{args.memory:g}",
        "made": table(pd.DataFrame([made[n] for n in sizes])),
        "solve": table(pd.DataFrame([row for n in sizes for row in solvers(n, *limits)])),
        "spreading": table(pd.DataFrame([spreading(n, *limits) for n in sizes])),
        "lambdas": table(pd.DataFrame(lambdas(max(n for n in sizes if n <= max(LAMBDA_CELLS, sizes[0])), *limits))),
        "neighbours": table(
            pd.DataFrame([r for n in NEIGHBOUR_SIZES if n <= max(sizes) for r in neighbours(n, *limits)])
        ),
    }
    text = TEMPLATE.read_text(encoding="utf-8").format(**parts)
    print(text)
    if args.write:
        PAGE.write_text(text, encoding="utf-8")


def cells(n: int) -> Row:
    """Coordinates, noisy scores and graph of n cells, made once; what it took."""
    folder = BUILD / str(n)
    record = folder / "made.json"
    if not record.exists():
        say(f"making {n:,} cells")
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        size_d = 1 / np.sqrt(1 + np.arange(N_DIMS) / 10)
        center_kd = rng.normal(size=(N_TYPES, N_DIMS))
        type_n = rng.choice(N_TYPES, n, p=rng.dirichlet(np.full(N_TYPES, 2.0)))
        x_nd = ((center_kd[type_n] + rng.normal(size=(n, N_DIMS))) * size_d).astype(np.float32)
        p0_nk = rng.normal(size=(n, N_TYPES)).astype(np.float32)
        p0_nk[np.arange(n), type_n] += 1.5
        np.save(folder / "x.npy", x_nd)
        np.save(folder / "p0.npy", p0_nk)
        record.write_text(json.dumps(_graph(x_nd, folder)))
    return {"cells": f"{n:,}", **json.loads(record.read_text())}


def _graph(x_nd: np.ndarray, folder: Path) -> Row:
    from pynndescent import NNDescent
    from umap.umap_ import fuzzy_simplicial_set

    start = time.perf_counter()
    index_nk, distance_nk = NNDescent(x_nd, n_neighbors=K, random_state=0).neighbor_graph
    found = time.perf_counter()
    weights_nn = fuzzy_simplicial_set(
        x_nd, K, np.random.RandomState(0), "euclidean", knn_indices=index_nk, knn_dists=distance_nk
    )[0]
    weighed = time.perf_counter()
    weights_nn = sp.csr_matrix(weights_nn, dtype=np.float32)
    sp.save_npz(folder / "graph.npz", weights_nn, compressed=False)
    return {
        "neighbours, s": f"{found - start:.1f}",
        "UMAP weights, s": f"{weighed - found:.1f}",
        "weights a cell": f"{weights_nn.nnz / len(x_nd):.1f}",
    }


def solvers(n: int, limit: float, memory: float) -> list[Row]:
    """The same system by ours, SciPy's sparse LU, and SciPy's conjugate gradients column by column."""
    values = BUILD / str(n) / "values.npy"
    ours = attempt(snippets.OURS, n, {"solver": "pcg"}, limit, memory, str(values))
    rows: list[Row] = [_row(n, "Corpuscle", ours)]
    for name, snippet in (("SciPy spsolve", snippets.SPSOLVE), ("SciPy cg, a type at a time", snippets.CG)):
        theirs = attempt(snippet, n, {}, limit, memory, str(values))
        row = _row(n, name, theirs)
        if isinstance(theirs, dict) and isinstance(ours, dict):
            row["times ours"] = f"{theirs['seconds'] / ours['seconds']:.1f}"
            row |= {"apart from ours": f"{theirs['apart']:.1e}", "same labels": f"{theirs['labels']:.3%}"}
        rows.append(row)
    return rows


def _row(n: int, name: str, got: dict | str) -> Row:
    row: Row = {"cells": f"{n:,}", "solver": name}
    if isinstance(got, str):
        return row | {"s": got}
    return row | {
        "s": f"{got['seconds']:.2f}",
        "checking the graph, s": f"{got['graph']:.2f}" if "graph" in got else "–",
        "iterations": got.get("iterations", "–"),
        "memory of the work, MiB": f"{got['peak_mib']:.0f}",
        "peak of the process, GiB": f"{got['peak_gib']:.2f}",
    }


def spreading(n: int, limit: float, memory: float) -> Row:
    """The best type of each cell as its hard label, spread at alpha 0.5; ours with the symmetric Laplacian, lam 1."""
    got = attempt(snippets.SPREADING, n, {}, limit, memory)
    if isinstance(got, str):
        return {"cells": f"{n:,}", "scikit-learn, s": got}
    return {
        "cells": f"{n:,}",
        "scikit-learn, s": f"{got['seconds']:.2f}",
        "rounds": got["rounds"],
        "Corpuscle with checks, s": f"{got['ours']:.2f}",
        "times ours": f"{got['seconds'] / got['ours']:.1f}",
        "apart": f"{got['apart']:.1e}",
        "same labels": f"{got['labels']:.3%}",
    }


def lambdas(n: int, limit: float, memory: float) -> list[Row]:
    """Seconds and iterations over the strength of smoothing, at the default tolerance."""
    rows: list[Row] = []
    for laplacian in ("unnormalized", "symmetric", "random_walk"):
        row: Row = {"cells": f"{n:,}", "laplacian": laplacian}
        for lam in (0.1, 1, 10, 100):
            got = attempt(snippets.OURS, n, {"solver": "pcg", "lam": lam, "laplacian": laplacian}, limit, memory)
            row[f"lam {lam:g}"] = got if isinstance(got, str) else f"{got['seconds']:.2f} s ({got['iterations']})"
        rows.append(row)
    return rows


def neighbours(n: int, limit: float, memory: float) -> list[Row]:
    """The search itself, by each engine, and the share of the true neighbours that it finds."""
    cells(n)
    rows: list[Row] = []
    for engine in ENGINES:
        say(f"{n:,} cells: neighbours by {engine}")
        # The limit is of the search; compiling, and the exact search of the sample, come on top.
        got = _process(snippets.NEIGHBOURS, (str(BUILD / str(n) / "x.npy"), engine, str(K)), limit + 120, memory)
        row: Row = {"cells": f"{n:,}", "engine": engine}
        if isinstance(got, str):
            rows.append(row | {"s": got})
        else:
            rows.append(
                row
                | {
                    "s": f"{got['seconds']:.1f}",
                    "recall": f"{got['recall']:.4f}",
                    "peak of the process, GiB": f"{got['peak_gib']:.2f}",
                }
            )
    return rows


def attempt(snippet: str, n: int, options: dict, limit: float, memory: float, *more: str) -> dict | str:
    """Run a snippet on n cells in a process of its own; what it reported, or why it did not."""
    say(
        f"{n:,} cells: {next(name for name, text in vars(snippets).items() if text is snippet).lower()} {options or ''}"
    )
    folder = BUILD / str(n)
    return _process(
        snippet, (str(folder / "graph.npz"), str(folder / "p0.npy"), json.dumps(options), *more), limit, memory
    )


def _process(snippet: str, arguments: tuple[str, ...], limit: float, memory: float) -> dict | str:
    most, start = int(memory * 2**30), time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + snippet, *arguments],
            capture_output=True, text=True, timeout=limit,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"more than {limit:.0f} s"
    say(f"  {time.perf_counter() - start:.0f} s with imports")
    reported = [line[2:] for line in done.stdout.splitlines() if line.startswith("@@")]
    if reported:
        return json.loads(reported[-1])
    last = (done.stderr.strip().splitlines() or ["killed"])[-1]
    # SuperLU says so in several ways, one of them a crash.
    if "emory" in last or done.returncode < 0:
        return f"more than {memory:g} GiB"
    return f"fails: {last}"


if __name__ == "__main__":
    main()
