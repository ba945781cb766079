"""The published grid on 700 PBMCs that scanpy ships, beside ours. Scores, graph and figures are those of the tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benches._pages import table

TESTS = Path(__file__).parent.parent / "tests"
sys.path += [str(TESTS / "annotate"), str(TESTS / "pairs")]

NAMES = {"canon": "a few canonical markers", "asctb": "ASCT+B markers"}


def rebuilt_counts() -> Any:
    """Raw counts of the 700 cells with their labels as ``cell_type``."""
    import pair_cells

    cells = pair_cells.pbmc68k()
    cells.obs = cells.obs[["cell_type"]]
    return cells


def published_grid() -> str:
    """A row a setting, published and ours as accuracy / macro-F1."""
    import pbmc68k
    from test_annotate_published import TABLE, named

    rows = []
    for (scores, transform, graph, laplacian), figures in TABLE.items():
        row = {"scores": NAMES[scores], "transform": transform, "graph": graph, "Laplacian": laplacian, "": "published"}
        ours = dict(row) | {"": "ours"}
        for lam in (0, 0.1, 0.5, 1, 2, 5, 10, 100):
            given = figures.get(lam)
            row[f"λ={lam}"] = "–" if given is None else f"{given[0]:.3f}/{given[1]:.3f}"
            best_n = named(scores, transform, graph, laplacian, lam)
            ours[f"λ={lam}"] = f"{pbmc68k.accuracy(best_n):.3f}/{pbmc68k.macro_f1(best_n):.3f}"
        rows += [row, ours]
    return table(pd.DataFrame(rows))


def guarded_beside() -> str:
    """The same two score matrices: raw, published, with guards at their default, and the vote (20 seeds)."""
    import pbmc68k

    from corpuscle.annotate.baselines import majority_vote
    from corpuscle.annotate.guards import refine_guarded
    from corpuscle.annotate.refine import refine

    graph, rows = pbmc68k.umap_graph(), []
    for name, values_nk in (("canon", pbmc68k.canon()), ("asctb", pbmc68k.asctb())):
        raw_n = values_nk.argmax(axis=1)
        labels = {
            "raw": [raw_n],
            "as published, λ=1": [refine(values_nk, graph).argmax(axis=1)],
            "as published, λ=5": [refine(values_nk, graph, lam=5).argmax(axis=1)],
            "with guards": [refine_guarded(values_nk, graph, pbmc68k.TYPES).values_nk.argmax(axis=1)],
            "majority vote, 20 seeds": [
                majority_vote(raw_n, graph, resolution=5, seed=seed).best_n for seed in range(20)
            ],
        }
        row = {"scores": NAMES[name]}
        for method, found in labels.items():
            figures = np.array([(pbmc68k.accuracy(best_n), pbmc68k.macro_f1(best_n)) for best_n in found])
            row[method] = "/".join(f"{mean:.3f}" for mean in figures.mean(axis=0))
        rows.append(row)
    return table(pd.DataFrame(rows))
