"""Commands: thin files that parse, call and print. Nothing heavy is imported before a command runs."""

from corpuscle.cli import bench, corpus, data, demo, inspect, normalize, report
from corpuscle.cli._app import app, main

__all__ = ["app", "bench", "corpus", "data", "demo", "inspect", "main", "normalize", "report"]
