"""Speed, memory and exactness of corpora against the reference and crick, printed as docs/evidence/corpus.md.

    python -m benches.corpus [--reference FOLDER] [--million] [--rounds 5] [--quick] [--write]

``--reference`` is a folder with Geneformer's ``tokenizer.py`` and its first-generation dictionaries, to be run in turn on the
same files; without it our speed is set against its recorded cells per second. ``--million`` also reads a file of a million
cells (about 12 GB of disk). ``--quick`` is a small run that shows that all of this works.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from benches import _cells
from benches._corpus_snippets import CRICK, MEDIANS, OURS, READ, REFERENCE, SAME_TOKENS
from benches._machine import Cost, machine, run

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "evidence" / "corpus.md"
TEMPLATE = HERE / "corpus.md"
#: name -> cells, detected genes a cell, cells summed, recorded cells/s of the reference (tokenise, create and save).
DATA = {"A": (40_000, 1_424, 1, 571), "B": (20_000, 3_810, 7, 158)}
MILLION = 1_000_000
CRICK_PER_SECOND = 2.4e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="Keep the made files here and use those that are there.")
    parser.add_argument("--write", action="store_true", help=f"Write {PAGE.name} too.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        text = page(args, folder)
    print(text)
    if args.write:
        PAGE.write_text(text, encoding="utf-8")


def page(args: argparse.Namespace, folder: Path) -> str:
    """The evidence page: its words are in corpus.md beside this, the numbers are measured here."""
    from benches._corpus_exact import exactness

    files = {name: _made(folder, name, args.quick) for name in (*DATA, "A-gzip")}
    parts = {
        "machine": machine(),
        "rounds": str(args.rounds),
        "speed": speed_table(files, args),
        "memory": memory_table(files, folder, args),
        "medians": medians_table(files["A"]),
        **exactness(),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for key, value in parts.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def _made(folder: Path, name: str, quick: bool) -> Path:
    kind = name.partition("-")[0]
    cells, detected, summed, _ = DATA[kind]
    path = folder / f"{name}{'-quick' if quick else ''}.h5ad"
    if not path.exists():
        compression = "gzip" if name.endswith("gzip") else None
        _cells.write(path, 2_000 if quick else cells, detected, summed, compression=compression)
    return path


# -- tokens ----------------------------------------------------------------------------------------------------


def speed_table(files: dict[str, Path], args: argparse.Namespace) -> str:
    """Ours, the reference recorded and, if it is here, measured, and how fast the input alone can be read."""
    rows = [
        "| data | tokens a cell | reference, recorded | reference, this run | ours (lowest to highest) | ratio to recorded | ratio to this run | reading alone | ours of reading alone |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, path in files.items():
        ours = [run(OURS, str(path)) for _ in range(args.rounds)]
        rate = [cost.fields["cells"] / cost.seconds for cost in ours]
        middle = statistics.median(rate)
        recorded = DATA[name][3] if name in DATA else None
        here = _reference(path, args)
        read = run(READ, str(path))
        limit = ours[0].fields["cells"] / read.seconds
        rows.append(
            f"| {name} | {ours[0].fields['tokens'] / ours[0].fields['cells']:,.0f} | {_rate(recorded)} | {_rate(here)} | "
            f"**{middle:,.0f}** ({min(rate):,.0f} to {max(rate):,.0f}) | {_ratio(middle, recorded)} | {_ratio(middle, here)} | "
            f"{limit:,.0f} | {middle / limit:.0%} |"
        )
    return "\n".join(rows)


def _reference(path: Path, args: argparse.Namespace) -> float | None:
    """Cells a second of the reference, after a check that its tokens are ours."""
    if args.reference is None:
        return None
    with tempfile.TemporaryDirectory() as out:
        cost = run(REFERENCE, str(args.reference), str(path), out)
        same = run(SAME_TOKENS, str(path), out)
    assert same.fields["same"], f"{path.name}: tokens differ from the reference: {json.dumps(same.fields)}"
    return cost.fields["cells"] / cost.seconds


def _rate(value: float | None) -> str:
    return "not recorded" if value is None else f"{value:,.0f}"


def _ratio(ours: float, theirs: float | None) -> str:
    return "" if theirs is None else f"{ours / theirs:,.1f}"


# -- memory ----------------------------------------------------------------------------------------------------


def memory_table(files: dict[str, Path], folder: Path, args: argparse.Namespace) -> str:
    """Peak above imports by number of cells."""
    cells = [10_000, 40_000] if not args.quick else [500]
    rows = ["| cells | genes a cell | peak MiB above import | seconds | cells/s |", "|---:|---:|---:|---:|---:|"]
    for n in cells:
        rows.append(_memory_row(_sized(folder, n), n))
    if args.million:
        rows.append(_memory_row(_sized(folder, MILLION), MILLION))
    return "\n".join([*rows, "", _peaks(files)])


def _sized(folder: Path, n: int) -> Path:
    path = folder / f"cells-{n}.h5ad"
    if not path.exists():
        _cells.write(path, n, DATA["A"][1], 1)
    return path


def _memory_row(path: Path, n: int) -> str:
    cost: Cost = run(OURS, str(path))
    return f"| {n:,} | {DATA['A'][1]:,} | {cost.extra_mib:,.0f} | {cost.seconds:.1f} | {n / cost.seconds:,.0f} |"


def _peaks(files: dict[str, Path]) -> str:
    cost = run(OURS, str(files["B"]))
    return f"On data B (3,810 genes a cell) the peak is {cost.extra_mib:,.0f} MiB."


# -- medians ---------------------------------------------------------------------------------------------------


def medians_table(path: Path) -> str:
    """Values a second on one core, the file read included in ours and left out for crick."""
    crick = run(CRICK, str(path))
    rows = [
        "| how | million values/s on one core | ratio to crick in this run | ratio to crick as recorded (2.4) | peak MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    rate = crick.fields["values"] / crick.seconds
    rows.append(f"| crick, `update` alone, values in memory | {rate / 1e6:.2f} | 1 | {rate / CRICK_PER_SECOND:.1f} | |")
    for part, what in (("update", "histogram, `update` alone"), ("all", "`medians()`, reading and gene plan included")):
        cost = run(MEDIANS, str(path), part)
        ours = cost.fields["values"] / cost.seconds
        rows.append(
            f"| {what} | {ours / 1e6:.1f} | {ours / rate:.1f} | {ours / CRICK_PER_SECOND:.1f} | {cost.extra_mib:,.0f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
