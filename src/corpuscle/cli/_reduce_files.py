"""What ``corpuscle reduce`` writes: the cells with their components, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from corpuscle.cli._whole_file import write_whole

if TYPE_CHECKING:
    from anndata import AnnData

    from corpuscle.reduce.run import Reduced

__all__ = ["save_page", "save_reduced"]


def save_reduced(reduced: Reduced, source: str, out: Path, *, layer: str | None, force: bool) -> None:
    """Write the cells of the source with their components; the file appears when it is complete.

    An ``.h5ad`` file is copied and never loaded; counts of other formats are streamed; other values are written as they were
    read.
    """
    from corpuscle.annotate._light import h5ad_of
    from corpuscle.annotate._store import check_target, save_found

    if reduced.values is None or h5ad_of(source) is not None:
        save_found(reduced.cells, source, out, layer=layer, force=force)
        return
    check_target(out, source, force=force)
    _write_values(reduced.values, reduced.cells, out)


def _write_values(whole: AnnData, cells: AnnData, out: Path) -> None:
    """Values with gaps that are in no ``.h5ad`` file yet, with what was found of their cells."""
    for place in ("obsm", "uns"):
        getattr(whole, place).update(getattr(cells, place))
    whole.obs["observed_share"] = cells.obs["observed_share"].to_numpy()
    write_whole(whole, out)


def save_page(reduced: Reduced, folder: Path | None, *, command: str, key: str) -> Path | None:
    """Write the page, if one is wanted."""
    if folder is None:
        return None
    from corpuscle.report._files import write_together
    from corpuscle.report.reduce_page import reduce_page

    html = reduce_page(reduced.cells, key=key, zero_filled_n2=reduced.zero_filled_n2, command=command)
    content = html.encode("utf-8", "replace")

    def write(file: BinaryIO) -> None:
        file.write(content)

    write_together(folder, {"report.html": write})
    return folder / "report.html"
