"""Speed and memory of dimension reduction with missing values, printed as docs/evidence/missingness-speed.md.

    python -m benches.reduce [--cells 100000] [--small 5000] [--limit 600] [--write]

Real cells are resampled to each size and kept in build/reduce-speed. Every figure is of a process of its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from benches import _reduce_snippets as snippets
from benches._machine import machine
from benches._pages import say, table
from benches.pairs import CORES, attempt

HERE = Path(__file__).parent
TEMPLATE = HERE / "reduce_speed.md"
PAGE = HERE.parent / "docs" / "evidence" / "missingness-speed.md"
BUILD = HERE.parent / "build" / "reduce-speed"
CELLS, SMALL, FEATURES, COMPONENTS = 100_000, 5_000, 2_000, 50
#: What was promised: for the many cells, and for the few against the dense route.
MOST_SECONDS, MOST_GIB, LEAST_RATIO, MOST_ERROR = 180, 4, 20, 1e-6
Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=CELLS, help="The largest number of cells; a fifth is run too.")
    parser.add_argument("--small", type=int, default=SMALL, help="Cells for the comparison with the dense route.")
    parser.add_argument("--limit", type=float, default=600, help="Seconds that one measurement may take.")
    parser.add_argument("--write", action="store_true", help=f"Write {PAGE.name} too.")
    args = parser.parse_args()
    small_rows, small_text = against_dense(args.small, args.limit)
    large_rows, large_text = many(args.cells, args.limit)
    text = TEMPLATE.read_text(encoding="utf-8").format(
        machine=machine(), cores=CORES, limit=f"{args.limit:.0f}", features=FEATURES, components=COMPONENTS,
        promise_large=large_text, promise_small=small_text, small_n=args.small,
        large=table(pd.DataFrame(large_rows).fillna("–")), small=table(pd.DataFrame(small_rows).fillna("–")),
    )  # fmt: skip
    print(text)
    if args.write:
        PAGE.write_text(text, encoding="utf-8")


def made(n: int, limit: float) -> str:
    """Where the values and the mask of n resampled cells are, made once."""
    stem = BUILD / str(n)
    if not Path(f"{stem}.missing.npz").exists():
        say(f"resampling {n:,} cells")
        BUILD.mkdir(parents=True, exist_ok=True)
        got = attempt(snippets.MADE, (str(n), str(FEATURES), str(stem)), limit)
        if isinstance(got, str):
            raise SystemExit(f"cells cannot be resampled: {got}")
    return str(stem)


def against_dense(n: int, limit: float) -> tuple[list[Row], str]:
    """The same components from the operator and from the matrix."""
    stem, k = made(n, limit), str(COMPONENTS)
    coordinates = f"{stem}.ours.npy"
    say(f"{n:,} cells: ours")
    ours = attempt(snippets.OURS, (stem, "dense", k, coordinates), limit)
    if isinstance(ours, str):
        return [{"route": "operator", "s": ours}], f"The fit of {n:,} cells did not end: {ours}."
    rows = [{"route": "operator, `UnbiasedPCA`", "s": f"{ours['seconds']:.2f}", "peak, GiB": f"{ours['peak_gib']:.2f}"}]
    text = f"The dense route for {n:,} cells did not end."
    for solver, name in (("eigh", "formed, `scipy.linalg.eigh`"), ("eigsh", "formed, `scipy.sparse.linalg.eigsh`")):
        say(f"{n:,} cells: {solver}")
        got = attempt(snippets.FORMED, (stem, solver, k, coordinates), limit)
        if isinstance(got, str):
            rows.append({"route": name, "s": got})
            continue
        ratio = got["seconds"] / ours["seconds"]
        rows.append(
            {
                "route": name,
                "s": f"{got['seconds']:.2f}",
                "of these forming, s": f"{got['formed']:.2f}",
                "peak, GiB": f"{got['peak_gib']:.2f}",
                "ratio": f"{ratio:.1f}",
                "largest difference": f"{got['error']:.1e}",
            }
        )
        if solver == "eigh":
            held = ratio >= LEAST_RATIO and got["error"] <= MOST_ERROR
            text = (
                f"With {n:,} cells it is {ratio:.1f} times as fast as forming the matrix and asking LAPACK for its eigenvectors, "
                f"and the components differ by {got['error']:.0e}; the aim, {LEAST_RATIO} times and {MOST_ERROR:.0e}, is "
                f"{'met' if held else '**missed**'}."
            )
    return rows, text


def many(cells: int, limit: float) -> tuple[list[Row], str]:
    """Sparse input, a fifth of the cells and all."""
    rows: list[Row] = []
    got: dict | str = "not run"
    for n in (cells // 5, cells):
        stem = made(n, limit)
        say(f"{n:,} cells: ours, sparse")
        got = attempt(snippets.OURS, (stem, "sparse", str(COMPONENTS)), limit)
        rows.append(_row(n, "`UnbiasedPCA`", got))
    for name in ("PCA", "IncrementalPCA"):
        say(f"{cells:,} cells: {name}")
        peer = attempt(snippets.MEAN_FILL, (stem, name, str(COMPONENTS)), limit)
        rows.append(_row(cells, f"mean-fill, scikit-learn `{name}`", peer))
    if isinstance(got, str):
        return rows, f"The fit of {cells:,} cells did not end: {got}."
    text = (
        f"{COMPONENTS} components of {cells:,} cells x {FEATURES:,} genes take {got['seconds']:.0f} s and {got['peak_gib']:.2f} GiB "
        "for the whole process"
    )
    if cells < CELLS:
        return rows, f"{text}; nothing is said here about the aim, which is for {CELLS:,} cells."
    held = got["seconds"] < MOST_SECONDS and got["peak_gib"] < MOST_GIB
    return rows, f"{text}; the aim, under {MOST_SECONDS} s and {MOST_GIB} GiB, is {'met' if held else '**missed**'}."


def _row(n: int, method: str, got: dict | str) -> Row:
    row: Row = {"cells": f"{n:,}", "method": method}
    if isinstance(got, str):
        return row | {"s": got}
    row |= {"s": f"{got['seconds']:.1f}", "peak of the process, GiB": f"{got['peak_gib']:.2f}"}
    return row | ({"vectors multiplied": f"{got['products']}"} if "products" in got else {})


if __name__ == "__main__":
    main()
