"""Commands: thin files that parse, call and print. Nothing heavy is imported before a command runs."""

from corpuscle.cli import (
    annotate,
    bench,
    bench_annotation,
    bench_clustering,
    bench_text,
    bench_topics,
    corpus,
    data,
    demo,
    embed,
    inspect,
    normalize,
    refine,
    report,
    search,
    train,
    train_cell_text,
)
from corpuscle.cli._app import app, main

__all__ = [
    "annotate",
    "app",
    "bench",
    "bench_annotation",
    "bench_clustering",
    "bench_text",
    "bench_topics",
    "corpus",
    "data",
    "demo",
    "embed",
    "inspect",
    "main",
    "normalize",
    "refine",
    "report",
    "search",
    "train",
    "train_cell_text",
]
