"""The public series of the coregulation benchmark, one row each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from corpuscle.errors import OptionError

__all__ = ["CATALOGS", "catalog"]

DATA = Path(__file__).parent / "data"

#: Catalogs by name: the table, and the Hub data set that holds the files.
CATALOGS = {"coregulation": "valsv/scrna-coregulation-benchmark"}


def catalog(name: str = "coregulation") -> pd.DataFrame:
    """Read the table of a catalog.

    Columns: ``series`` (GEO accession), ``task`` (``promoter_reporter``: expected positive; ``allelic_exclusion``:
    expected negative), ``gene_a`` and ``gene_b`` (reporter and target, or the two genes that exclude each other;
    several are separated by ``;``), ``pairs_per_file``, ``tissue``, ``construct``, ``construct_kind`` (``knock-in``: at
    the target's own locus; ``BAC``: large regulatory context at another place; ``transgene``; ``fusion``: the proximal
    promoter only), ``platform``, ``species``, ``n_files``, ``n_cells`` and ``n_genes``. File names are discovered by
    listing (:func:`corpuscle.datasets.list_remote`); ``known_files`` has those that the data card states.

    Source: the data card of ``valsv/scrna-coregulation-benchmark``, CC BY 4.0.

    Raises
    ------
    OptionError
        There is no catalog of that name.
    """
    if name not in CATALOGS:
        raise OptionError(f"no catalog {name}; there is {', '.join(CATALOGS)}")
    return pd.read_csv(DATA / f"{name}.tsv", sep="\t", keep_default_na=False)
