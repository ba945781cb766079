"""The topics themselves: their genes, and the gene set that each is most enriched for."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from corpuscle.benchmarks.topics.display.standings import leaderboard
from corpuscle.report import Cell, Column, Result, Section, panels, prose, table, value_cell
from corpuscle.report.format import count, fixed, significant

__all__ = ["topics_section"]

#: Tables of topics on a page; each is a data set and a method.
MAX_PANELS = 30
COLUMNS = (
    Column("topic", "Topic"),
    Column("genes", "Top genes", "The largest weights first", numeric=False),
    Column("cells", "Cells", "Cells of which it is the strongest topic"),
    Column("coherence", "Coherence"),
    Column("ora", "Over-represented", "The gene set with the smallest q among the top genes", numeric=False),
    Column(
        "gsea", "Enriched in the ranking", "The gene set with the smallest q in the ranking of all genes", numeric=False
    ),
)


def topics_section(result: Result) -> list[Section]:
    """Show every topic of the first seed, a table for each data set and method."""
    top = result.extras.get("top_genes")
    if top is None:
        return []
    seed = int(top["seed"].min())
    place = {method: i for i, method in enumerate(leaderboard(result)["method"])}
    keys = top.loc[top["seed"] == seed, ["dataset", "method"]].drop_duplicates().itertuples(index=False)
    ordered = sorted((tuple(key) for key in keys), key=lambda key: (key[0], place.get(key[1], len(place))))
    entries = [
        (f"{dataset} · {method}", _topics(result, str(dataset), str(method), seed, f"topics-{i}"))
        for i, (dataset, method) in enumerate(ordered[:MAX_PANELS])
    ]
    text = f"Topics of seed {seed}. A list shorter than the others has no further gene with a weight above the least."
    if len(ordered) > MAX_PANELS:
        text += f" Of {len(ordered)} tables the first {MAX_PANELS} are here; all are in top_genes.parquet."
    body = prose(text) + panels("topics", "Data set and method", entries, topic="topics")
    return [Section("topics", "The topics", "Topics", Markup(body))]


def _topics(result: Result, dataset: str, method: str, seed: int, id: str) -> Markup:
    def part(name: str) -> pd.DataFrame:
        frame = result.extras.get(name)
        if frame is None:
            return pd.DataFrame(columns=["topic", "test", "q", "gene_set"])
        return frame[(frame["dataset"] == dataset) & (frame["method"] == method) & (frame["seed"] == seed)]

    genes = part("top_genes").sort_values(["topic", "rank"]).groupby("topic")["gene"].agg(" ".join)
    best = {
        str(test): frame.sort_values(["q", "gene_set"]).drop_duplicates("topic").set_index("topic")
        for test, frame in part("enriched").groupby("test")
    }
    rows = []
    for row in part("topics").sort_values("topic").to_dict("records"):
        topic = row["topic"]
        listed = genes.get(topic, "")
        rows.append(
            [
                Cell(count(topic), float(topic)),
                Cell(listed, listed) if listed else Cell("none", reason="all its weights are equal"),
                Cell(count(row["n_cells"]), float(row["n_cells"])),
                value_cell(row["coherence"], fixed(row["coherence"]), reason="no gene sets for these genes"),
                _best(best.get("ora"), topic),
                _best(best.get("gsea"), topic),
            ]
        )
    return table(id, f"Topics of {method} on {dataset}", COLUMNS, rows, sorted_by="topic")


def _best(found: pd.DataFrame | None, topic: int) -> Cell:
    if found is None or topic not in found.index:
        return Cell("-")
    row = found.loc[topic]
    return Cell(
        str(row["gene_set"]), str(row["gene_set"]), note=f"q {significant(row['q'], 2)}", hover=str(row["genes"])
    )
