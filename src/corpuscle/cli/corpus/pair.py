"""``corpuscle corpus pair`` and ``publish``: a data set of transcriptome-text pairs, and its way to others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpuscle.cli._app import console, emit_json
from corpuscle.cli._progress import steps
from corpuscle.cli.corpus._app import Force, Json, Layer, Sources, corpus
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.corpus.pairs.manifest import PairsManifest

__all__ = ["pair", "publish"]


@corpus.command(
    "pair",
    epilog="Example: corpuscle corpus pair study/*.h5ad --caption 'This is a {cell_type} cell.' --group donor -o study.pairs",
)
def pair(
    source: Sources,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The folder to write.", show_default=False)],
    format_: Annotated[
        str, typer.Option("--format", help="Rows: single (no text), pairs (two rows a cell) or multiplets.")
    ] = "multiplets",
    caption: Annotated[
        str | None,
        typer.Option("--caption", metavar="COLUMN|TEMPLATE", help="obs column, or a sentence with columns in braces."),
    ] = None,
    ontology: Annotated[
        bool,
        typer.Option("--ontology", help="Say label and definition of the Cell Ontology where captions name a type."),
    ] = False,
    group: Annotated[
        str | None, typer.Option("--group", metavar="COLUMN", help="Never divided between splits; or 'source'.")
    ] = None,
    random_split: Annotated[bool, typer.Option("--random-split", help="Split cells at random instead.")] = False,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="COLUMN", help="obs column that says train, validation or test of every cell."),
    ] = None,
    shares: Annotated[str, typer.Option("--shares", help="Of train, validation and test.")] = "0.8,0.1,0.1",
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="COLUMN", help="Negatives are drawn within it where possible.")
    ] = None,
    embeddings: Annotated[
        str, typer.Option("--embeddings", help="hvg, pca, panel:genes=FILE, scvi; options after a colon.")
    ] = "hvg,pca",
    embedders_from: Annotated[
        Path | None, typer.Option("--embedders-from", metavar="DIR", help="Data set whose fitted embeddings to apply.")
    ] = None,
    negatives: Annotated[int, typer.Option("--negatives", help="Negatives of each cell, in multiplets.")] = 2,
    resolve: Annotated[bool, typer.Option("--resolve", help="Write the texts of negatives beside their ids.")] = False,
    archive: Annotated[str, typer.Option("--archive", help="zarr.zip, zarr or h5ad.")] = "zarr.zip",
    chunk_cells: Annotated[int, typer.Option("--chunk-cells", help="Most cells of an archive.")] = 20_000,
    link_base: Annotated[
        str | None, typer.Option("--link-base", metavar="URL", help="What stands before an archive's name in links.")
    ] = None,
    qc: Annotated[bool, typer.Option("--qc/--no-qc", help="Leave out outlying cells and rare genes.")] = True,
    allow_imitation: Annotated[
        bool, typer.Option("--allow-imitation", help="Accept counts that look made from normalised values.")
    ] = False,
    namespace: Annotated[
        bool, typer.Option("--namespace", help="Put the source before cell names that several sources share.")
    ] = False,
    layer: Layer = None,
    name: Annotated[str | None, typer.Option("--name", help="Title on the card.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="Licence on the card, e.g. cc-by-4.0.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of splits and negatives.")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Pair the cells of SOURCE with texts, in a data set that datasets.load_from_disk opens.

    Beside the rows are the cells themselves in archives that the rows link to, with embeddings fitted on the training split
    alone, a manifest with the checksum of everything, and a card. The same command gives the same bytes.
    """
    from corpuscle.corpus.pairs.build import build_pairs
    from corpuscle.corpus.pairs.embedders import embedding_words
    from corpuscle.corpus.pairs.negatives import NegativePolicy
    from corpuscle.corpus.pairs.prepare import DEFAULT_RULES

    with steps("pair") as progress:
        manifest = build_pairs(
            source, out, format=format_, caption=caption, group=group, batch=batch, random_split=random_split,
            split=split, shares=_shares(shares), seed=seed, embeddings=embedding_words(embeddings), embedders_from=embedders_from,
            negatives=NegativePolicy(n=negatives, seed=seed), resolve=resolve, archive=archive, chunk_cells=chunk_cells,
            link_base=link_base, rules=DEFAULT_RULES if qc else None, layer=layer, allow_imitation=allow_imitation,
            namespace=namespace, describe=_definition if ontology else None, name=name, licence=licence,
            progress=progress, force=force,
        )  # fmt: skip
    _show(manifest, out, as_json)


@corpus.command(
    "publish",
    epilog="Example: corpuscle corpus publish study.pairs --to folder --folder /srv/data --link-base https://data.example.org",
)
def publish(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that corpus pair wrote.")],
    to: Annotated[str, typer.Option("--to", help="folder, webdav, nextcloud, hub or zenodo.", show_default=False)],
    folder: Annotated[str, typer.Option("--folder", help="Folder there.")] = "",
    url: Annotated[str | None, typer.Option("--url", help="Of the WebDAV, Nextcloud or Zenodo server.")] = None,
    repository: Annotated[str | None, typer.Option("--repository", metavar="OWNER/NAME", help="On the hub.")] = None,
    public: Annotated[bool, typer.Option("--public", help="A new repository on the hub is public.")] = False,
    link_base: Annotated[
        str | None, typer.Option("--link-base", metavar="URL", help="How others reach that folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a data set to where others can fetch it, and make its rows link there.

    User, password and token are read from the environment (CORPUSCLE_WEBDAV_USER, CORPUSCLE_WEBDAV_PASSWORD, HF_TOKEN,
    ZENODO_TOKEN) and never stored. Archives go up first; the folder changes only when all are there.
    """
    from corpuscle.corpus.pairs.publish import publish as send

    publisher = _publisher(to, folder=folder, url=url, repository=repository, public=public, link_base=link_base)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    _show(send(directory, publisher, progress=say), directory, as_json)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise OptionError(f"--shares {text!r} are not three numbers with commas, such as 0.8,0.1,0.1") from None


def _definition(value: str) -> str | None:
    """Label and definition of what a value names, where the Cell Ontology has it."""
    from corpuscle.annotate import cell_ontology

    ontology = cell_ontology()
    cl_id = ontology.find(value)
    return None if cl_id is None else ontology.describe(cl_id, "{label}. {definition}").strip()


def _publisher(
    to: str, *, folder: str, url: str | None, repository: str | None, public: bool, link_base: str | None
) -> Any:
    from corpuscle.corpus.pairs import FolderPublisher, HubPublisher, WebDAVPublisher, ZenodoPublisher

    if to == "folder":
        if not folder:
            raise OptionError("--to folder needs --folder, the folder to copy to")
        return FolderPublisher(folder, link_base)
    if to in ("webdav", "nextcloud"):
        if url is None:
            raise OptionError(
                f"--to {to} needs --url, the address of the server, for webdav that of the folder to write into"
            )
        return WebDAVPublisher(url, folder, share=to == "nextcloud", link_base=link_base)
    if to == "hub":
        if repository is None:
            raise OptionError("--to hub needs --repository OWNER/NAME")
        return HubPublisher(repository, private=not public)
    if to == "zenodo":
        return ZenodoPublisher() if url is None else ZenodoPublisher(base=url)
    raise OptionError(f"--to {to!r} must be one of: folder, webdav, nextcloud, hub, zenodo")


def _show(manifest: PairsManifest, out: Path, as_json: bool) -> None:
    if as_json:
        emit_json({"out": str(out)} | json.loads(manifest.to_json()))
        return
    for note in manifest.notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False, highlight=False)
    splits = ", ".join(
        f"{name} {entry.rows:,} rows of {entry.cells:,} cells" for name, entry in manifest.splits.items()
    )
    console.print(
        f"{splits}; {len(manifest.archives):,} archives: {out}", soft_wrap=True, markup=False, highlight=False
    )
