"""Bundled example data, the catalogs of public data, downloads with checksums, and checks of what was got."""

from corpuscle.datasets.bundled import bundled, bundled_path
from corpuscle.datasets.catalog import catalog
from corpuscle.datasets.fetch import Fetched, RemoteFile, fetch, list_remote
from corpuscle.datasets.importer import Imported, ReporterMissingError, import_exclusion, import_reporter
from corpuscle.datasets.schema import Pair, pairs_to_uns, read_pairs, resolve_pair
from corpuscle.datasets.validate import Issue, underpowered, validate, validate_many

__all__ = [
    "Fetched",
    "Imported",
    "Issue",
    "Pair",
    "RemoteFile",
    "ReporterMissingError",
    "bundled",
    "bundled_path",
    "catalog",
    "fetch",
    "import_exclusion",
    "import_reporter",
    "list_remote",
    "pairs_to_uns",
    "read_pairs",
    "resolve_pair",
    "underpowered",
    "validate",
    "validate_many",
]
