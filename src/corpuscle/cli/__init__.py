"""Commands: thin files that parse, call and print. Nothing heavy is imported before a command runs."""

from corpuscle.cli import (
    bench,
    bench_clustering,
    bench_topics,
    corpus,
    data,
    demo,
    embed,
    inspect,
    normalize,
    report,
    train,
)
from corpuscle.cli._app import app, main

__all__ = [
    "app",
    "bench",
    "bench_clustering",
    "bench_topics",
    "corpus",
    "data",
    "demo",
    "embed",
    "inspect",
    "main",
    "normalize",
    "report",
    "train",
]
