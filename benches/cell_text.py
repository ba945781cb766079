"""Speed and memory of training cells and text in one space, printed as docs/evidence/cell-text-speed.md.

    python -m benches.cell_text [--repeats 5] [--batch 64] [--limit 600] [--write]

Ours beside sentence-transformers as its guide has one write such a model, on the same vectors, captions and batches. Every
training is a process of its own, and the order turns round with each repeat, so that a busy minute meets all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from benches import _cell_text_snippets as snippets
from benches._machine import machine
from benches._pages import say, table

HERE = Path(__file__).parent
TEMPLATE = HERE / "cell_text_speed.md"
PAGE = HERE.parent / "docs" / "evidence" / "cell-text-speed.md"
BUILD = HERE.parent / "build" / "cell-text-speed"
KANG = "perturbation/kang_ifnb_2800"
#: Name of a way, the snippet that runs it, its mode, and the epochs: some with a frozen text encoder, some training it.
FROZEN = (
    ("CellText", snippets.OURS, "frozen", 20),
    ("plain, text vectors computed beforehand", snippets.PLAIN, "looked up", 20),
    ("plain, frozen encoder run at each step", snippets.PLAIN, "frozen", 2),
)
TRAINED = (("CellText", snippets.OURS, "trained", 2), ("plain", snippets.PLAIN, "trained", 2))
Row = dict[str, object]
Way = tuple[str, str, str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="Trainings of each kind.")
    parser.add_argument("--batch", type=int, default=64, help="Rows at once.")
    parser.add_argument("--limit", type=float, default=600, help="Seconds that one training may take.")
    parser.add_argument("--write", action="store_true", help=f"Write {PAGE.name} too.")
    args = parser.parse_args()
    files = {"pbmc68k, genes": pbmc68k(), "Kang, 50 components": kang()}
    files = {name: file for name, file in files.items() if file is not None}
    got = {(name, ways): measured(name, file, ways, args) for name, file in files.items() for ways in (FROZEN, TRAINED)}
    frozen, trained = ({name: got[name, ways] for name in files} for ways in (FROZEN, TRAINED))
    text = TEMPLATE.read_text(encoding="utf-8").format(
        machine=machine(),
        batch=args.batch,
        repeats=args.repeats,
        short=in_short(frozen | {f"{name} ": found for name, found in trained.items()}),
        data="; ".join(described(name, file) for name, file in files.items()),
        frozen=table(pd.DataFrame([row for name in files for row in rows(name, frozen[name])])),
        trained=table(pd.DataFrame([row for name in files for row in rows(name, trained[name])])),
    )
    print(text)
    if args.write:
        PAGE.write_text(text, encoding="utf-8")


def pbmc68k() -> Path:
    """Log genes of the 700 cells that scanpy ships."""
    path = BUILD / "pbmc68k.npz"
    if not path.exists():
        sys.path.append(str(HERE.parent / "tests" / "pairs"))
        import pair_cells

        cells = pair_cells.logged()
        keep(path, cells.X.toarray(), cells.obs_names, cells.obs["cell_type"])
    return path


def kang() -> Path | None:
    """Principal components of 2,800 cells, where the data are."""
    path = BUILD / "kang.npz"
    folder = Path(os.environ.get("CORPUSCLE_DATA", HERE.parent.parent / "shared" / "data")) / f"{KANG}.h5ad"
    if not path.exists():
        if not folder.exists():
            return None
        import scanpy as sc

        cells = sc.read_h5ad(folder)
        sc.pp.normalize_total(cells, target_sum=1e4)
        sc.pp.log1p(cells)
        sc.pp.highly_variable_genes(cells, n_top_genes=2000, subset=True)
        sc.pp.pca(cells, n_comps=50)
        pcs_nd = cells.obsm["X_pca"] / cells.obsm["X_pca"][:, 0].std()
        keep(path, pcs_nd, cells.obs_names, cells.obs["cell_type"])
    return path


def keep(path: Path, vectors_nd: np.ndarray, names: pd.Index, labels: pd.Series) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    captions = np.array([f"This is a {label} cell from human peripheral blood." for label in labels.astype(str)])
    ids = np.array([f"c{n}-{name}" for n, name in enumerate(names)])
    half = path.with_suffix(".half.npz")
    np.savez(half, vectors_nd=np.asarray(vectors_nd, dtype=np.float32), ids=ids, captions=captions)
    half.replace(path)


def described(name: str, file: Path) -> str:
    with np.load(file, allow_pickle=False) as data:
        n, d = data["vectors_nd"].shape
        return f"{name}: {n:,} cells, vectors of {d}, {len(set(data['captions'].tolist()))} captions"


def measured(name: str, file: Path, ways: tuple[Way, ...], args: argparse.Namespace) -> dict[str, list[dict] | str]:
    """What each repeat of each way reported, or why one did not."""
    found: dict[str, list[dict] | str] = {way[0]: [] for way in ways}
    for repeat in range(args.repeats):
        for what, snippet, mode, epochs in ways if repeat % 2 == 0 else ways[::-1]:
            so_far = found[what]
            if isinstance(so_far, str):
                continue
            say(f"{name}: {what}, {mode}, {repeat + 1} of {args.repeats}")
            got = attempt(snippet, (str(file), mode, str(epochs), str(args.batch)), args.limit)
            if isinstance(got, str):
                found[what] = got
            else:
                so_far.append(got)
    return found


def rows(name: str, found: dict[str, list[dict] | str]) -> list[Row]:
    ours = found["CellText"]
    made = []
    for what, reports in found.items():
        row: Row = {"vectors": name, "training": what}
        if isinstance(reports, str):
            row["ms a step"] = reports
        else:
            steps = [1000 * one["step"] for one in reports]
            row["ms a step"] = f"{median(steps):.1f} ({min(steps):.1f} to {max(steps):.1f})"
            row["beside CellText"] = "–" if isinstance(ours, str) else f"{median(steps) / step_of(ours):.2f}"
            row["peak of the process, GiB"] = f"{max(one['peak_gib'] for one in reports):.2f}"
            row["cells that find their caption"] = f"{median(one['told'] for one in reports):.3f}"
        made.append(row)
    return made


def step_of(reports: list[dict]) -> float:
    return 1000 * median(one["step"] for one in reports)


def in_short(found: dict[str, dict[str, list[dict] | str]]) -> str:
    """One sentence, true whatever was measured: ours beside the fastest other way of each setting."""
    ratios = []
    for ways in found.values():
        ours = ways["CellText"]
        others = [step_of(one) for what, one in ways.items() if what != "CellText" and not isinstance(one, str)]
        if isinstance(ours, str) or not others:
            return "A training did not end; nothing is said."
        ratios.append(step_of(ours) / min(others))
    held = max(ratios) <= 1
    return (
        f"A step of CellText takes {min(ratios):.2f} to {max(ratios):.2f} of the time of the fastest plain one; the aim, "
        f"never slower, is {'met' if held else '**missed**'}."
    )


def attempt(snippet: str, arguments: tuple[str, ...], limit: float) -> dict | str:
    """Run a snippet on one core in a process of its own; what it reported, or why it did not."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    offline = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", snippet, *arguments],
            capture_output=True,
            text=True,
            timeout=limit,
            env=os.environ | threads | offline,
        )
    except subprocess.TimeoutExpired:
        return f"more than {limit:.0f} s"
    reported = [line[2:] for line in done.stdout.splitlines() if line.startswith("@@")]
    if reported:
        return json.loads(reported[-1])
    return f"fails: {(done.stderr.strip().splitlines() or [f'left with {done.returncode}'])[-1]}"


if __name__ == "__main__":
    main()
