"""Speed and memory of quantile normalisation out of core, printed as docs/evidence/archs4-speed.md.

    python -m benches.archs4_speed [--samples 20000] [--genes 60000] [--peer 1000] [--file FILE] [--write]

Synthetic counts in the layout of ARCHS4 are made once, in build/archs4-speed. Every figure is of a process of its own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import pandas as pd

from benches import _archs4_snippets as snippets
from benches._machine import machine
from benches._pages import say, table
from benches.pairs import CORES, attempt

HERE = Path(__file__).parent
TEMPLATE = HERE / "archs4_speed.md"
PAGE = HERE.parent / "docs" / "evidence" / "archs4-speed.md"
BUILD = HERE.parent / "build" / "archs4-speed"
SAMPLES, GENES, PEER = 20_000, 60_000, 1_000
#: Columns that qnorm is given at a time.
COLUMNS = 64
#: What was promised.
MOST_GIB, LEAST_RATIO = 2, 3


@dataclass
class Run:
    """One file, and what was measured with it."""

    file: Path
    samples: int
    genes: int
    limit: float
    rows: list[dict[str, object]] = field(default_factory=list)

    def measure(self, what: str, snippet: str, *arguments: object, samples: int | None = None) -> dict | None:
        """Run a snippet and note what it cost; None if it did not end."""
        n = samples or self.samples
        say(f"{what}: {n:,} samples")
        got = attempt(snippet, tuple(map(str, arguments)), self.limit)
        row: dict[str, object] = {"what": what, "samples": f"{n:,}"}
        if isinstance(got, str):
            self.rows.append(row | {"s": got})
            return None
        each = got["seconds"] / n * 1e3
        self.rows.append(
            row | {"s": f"{got['seconds']:.1f}", "ms a sample": f"{each:.2f}", "peak, GiB": f"{got['peak_gib']:.2f}"}
        )
        return got | {"each": each}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--genes", type=int, default=GENES)
    parser.add_argument("--peer", type=int, default=PEER, help="Samples that qnorm is given, from a table.")
    parser.add_argument("--file", type=Path, help="A file in the layout of ARCHS4, in place of a synthetic one.")
    parser.add_argument("--limit", type=float, default=3600, help="Seconds that one measurement may take.")
    parser.add_argument("--write", action="store_true", help=f"Write {PAGE.name} too.")
    args = parser.parse_args()
    run = ready(args)
    ours, text = normalised(run)
    limits_text = limits(run, ours)
    peer_text = against_qnorm(run, min(args.peer, run.samples))
    kernels = attempt(snippets.KERNELS, (str(run.file),), run.limit)
    text = TEMPLATE.read_text(encoding="utf-8").format(
        machine=machine(), cores=CORES, samples=run.samples, genes=run.genes, columns=COLUMNS,
        size=run.file.stat().st_size / 1e9, promise=text, limits=limits_text, peer=peer_text,
        kernels=_kernels(kernels), table=table(pd.DataFrame(run.rows).fillna("–")),
    )  # fmt: skip
    print(text)
    if args.write:
        PAGE.write_text(text, encoding="utf-8")


def ready(args: argparse.Namespace) -> Run:
    """The file, made if need be."""
    BUILD.mkdir(parents=True, exist_ok=True)
    path = args.file or BUILD / f"{args.samples}x{args.genes}.h5"
    if not path.exists():
        say(f"making {path.name}")
        part = path.with_suffix(".part")
        got = attempt(snippets.MADE, (str(part), str(args.samples), str(args.genes)), args.limit)
        if isinstance(got, str):
            raise SystemExit(f"the file cannot be made: {got}")
        part.replace(path)
    with h5py.File(path) as file:
        genes, samples = file["data/expression"].shape
    return Run(path, samples, genes, args.limit)


def normalised(run: Run) -> tuple[dict | None, str]:
    """The command, end to end."""
    run.measure(
        "`corpuscle normalize --save-fit`, the target only", snippets.OURS, run.file, "-m", "log2_qn",
        "--save-fit", BUILD / "fit.npz", "--force",
    )  # fmt: skip
    both = run.measure(
        "`corpuscle normalize`, values and counts", snippets.OURS, run.file, "-m", "log2_qn",
        "-o", BUILD / "ours.h5ad", "--force",
    )  # fmt: skip
    ours = run.measure(
        "`corpuscle normalize --no-counts`", snippets.OURS, run.file, "-m", "log2_qn", "--no-counts",
        "-o", BUILD / "ours.h5ad", "--force",
    )  # fmt: skip
    if ours is None or both is None:
        return None, "The command did not end."
    peak = max(ours["peak_gib"], both["peak_gib"])
    text = (
        f"{run.samples:,} samples x {run.genes:,} genes are fitted and written, values only, in {ours['seconds']:.0f} s "
        f"({ours['each']:.2f} ms a sample), and no run held more than {peak:.2f} GiB"
    )
    if run.samples < SAMPLES or run.genes < GENES:
        return ours, f"{text}; nothing is said here about the aim, which is for {SAMPLES:,} x {GENES:,}."
    return ours, f"{text}; the aim, under {MOST_GIB} GiB, is {'met' if peak < MOST_GIB else '**missed**'}."


def limits(run: Run, ours: dict | None) -> str:
    """What reading twice and writing once would cost by themselves, and sorting twice."""
    run.measure("reading once, plain h5py", snippets.H5PY, run.file)
    read = run.measure("reading once, as the command does", snippets.READ, run.file)
    n_bytes = 4 * run.samples * run.genes
    written = run.measure("writing once, plain bytes and fsync", snippets.WRITTEN, BUILD / "bytes", n_bytes)
    if ours is None or read is None or written is None:
        return "The limits were not measured."
    disk = 2 * read["seconds"] + written["seconds"]
    return (
        f"Reading and decoding the file twice and writing as many bytes takes {disk:.0f} s by itself: the command runs at "
        f"{disk / ours['seconds']:.0%} of that limit of the disk and the decoder."
    )


def against_qnorm(run: Run, n: int) -> str:
    """The same samples by qnorm's way out of core and by ours; both sides write values only."""
    source, out = BUILD / "peer.parquet", BUILD / "peer.out.parquet"
    run.measure("making the table for qnorm", snippets.TABLE, run.file, source, n, samples=n)
    theirs = run.measure(
        "`qnorm.incremental_quantile_normalize`, parquet", snippets.QNORM, source, out, CORES, COLUMNS, samples=n
    )
    small = BUILD / f"peer-{n}x{run.genes}.h5"
    if n < run.samples and not small.exists():
        attempt(snippets.MADE, (str(small), str(n), str(run.genes)), run.limit)
    same = run.file if n == run.samples else small
    ours = run.measure(
        "`corpuscle normalize --no-counts`, as many", snippets.OURS, same, "-m", "log2_qn", "--no-counts",
        "-o", BUILD / "small.h5ad", "--force", samples=n,
    )  # fmt: skip
    if theirs is None or ours is None:
        return "The side-by-side run did not end."
    ratio = theirs["seconds"] / ours["seconds"]
    held = "met" if ratio >= LEAST_RATIO else "**missed**"
    text = f"On {n:,} samples it is {ratio:.1f} times as fast as qnorm's own way out of core; the aim, {LEAST_RATIO} times, is {held}."
    if n == run.samples:
        got = attempt(snippets.COMPARED, (str(BUILD / "small.h5ad"), str(out)), run.limit)
        if not isinstance(got, str):
            text += f" The values, float32 in both files, differ by at most {got['worst']:.1e}."
    return text


def _kernels(got: dict | str) -> str:
    if isinstance(got, str):
        return f"The kernels were not measured: {got}."
    both = got["first"] + got["second"]
    return (
        f"On one core the first pass takes {got['first']:.2f} ms a sample and the second {got['second']:.2f} ms; "
        f"`numpy.sort` alone, of the same whole numbers, takes {got['sort']:.2f} ms, and each pass would need it. "
        f"Both passes together take {both / (2 * got['sort']):.0%} of two sorts, since counts are sorted by counting them."
    )


if __name__ == "__main__":
    main()
