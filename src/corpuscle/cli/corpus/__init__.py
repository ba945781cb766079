"""``corpuscle corpus``: many files of raw counts to a data set that a model trains on."""

from corpuscle.cli.corpus import check, medians, pair, qc, tokenize
from corpuscle.cli.corpus._app import corpus

__all__ = ["check", "corpus", "medians", "pair", "qc", "tokenize"]
