"""Small real data sets that come with the package, so that everything can be tried without a download."""

from __future__ import annotations

from pathlib import Path

from corpuscle.errors import OptionError

__all__ = ["bundled", "bundled_path"]

DATA = Path(__file__).parent / "data"


def bundled() -> dict[str, Path]:
    """Names and files of the bundled sets.

    Three captures of peripheral blood from healthy donors (10x Genomics, CC BY 4.0), raw counts, about 1,000 cells
    each, with the exclusion pairs IGKC against IGLC2 and IGLC3. Origin and licence: ``datasets/data/README.md``.

    Returns
    -------
    dict of str to Path
        In alphabetical order.
    """
    return {path.stem: path for path in sorted(DATA.glob("*.h5ad"))}


def bundled_path(name: str) -> Path:
    """File of the bundled set ``name``.

    Raises
    ------
    OptionError
        There is no set of that name.
    """
    files = bundled()
    if name not in files:
        raise OptionError(f"no bundled data set {name}; there are {', '.join(files)}")
    return files[name]
