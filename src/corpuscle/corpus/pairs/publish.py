"""Bring a data set to where others can fetch it: archives first, then rows that link to them, then the card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from corpuscle.corpus.pairs._archive_hash import archive_files, archive_sha256
from corpuscle.corpus.pairs._archive_members import MEMBERS, write_members
from corpuscle.corpus.pairs._archive_pack import packed
from corpuscle.corpus.pairs._manifest_problems import has_secret
from corpuscle.corpus.pairs._publish_folder import FolderPublisher
from corpuscle.corpus.pairs._publish_hub import HubPublisher
from corpuscle.corpus.pairs._publish_rows import relinked
from corpuscle.corpus.pairs._publish_webdav import WebDAVPublisher
from corpuscle.corpus.pairs._publish_zenodo import ZenodoPublisher
from corpuscle.corpus.pairs.manifest import ArchiveEntry, PairsManifest, read_pairs_manifest
from corpuscle.errors import OptionError, OutputError, SourceError

__all__ = [
    "FolderPublisher",
    "HubPublisher",
    "Publisher",
    "WebDAVPublisher",
    "ZenodoPublisher",
    "publish",
]


@runtime_checkable
class Publisher(Protocol):
    """Somewhere that files can be put and fetched again.

    Attributes
    ----------
    nested
        Whether names may have folders in them. Where they may not, everything but archives and card goes up as one zip.
    folders
        Optional: whether the link of a file tells those of the files beside it, as an archive that is a Zarr folder needs; by
        default as ``nested``.
    """

    nested: bool

    def put(self, path: Path, name: str) -> str:
        """Send one file under a name with forward slashes; return the link that others fetch it by.

        Putting a name again replaces it, so an upload that was cut off can be repeated.
        """
        ...

    def finish(self) -> None:
        """Make what was put so far visible, where that is a step of its own."""
        ...


def publish(
    folder: str | Path, publisher: Publisher, *, progress: Callable[[str], None] | None = None
) -> PairsManifest:
    """Publish a data set and make its rows link to where the archives are now.

    The archives are compared with the manifest and go up first. When all are there, the links in rows, manifest and card of
    the folder are rewritten, all at once, and these go up too, the card last. Where anything fails before, the folder is as it
    was, and the call can be repeated.

    Parameters
    ----------
    folder
        The data set.
    publisher
        Where to.
    progress
        Called with the name of every file before it is sent.

    Returns
    -------
    The manifest with the new links, as it is in the folder now.

    Raises
    ------
    SourceError
        The folder is no data set, or an archive is not the one that the manifest lists.
    OutputError
        A file cannot be sent; the message names it.
    OptionError
        Credentials are missing.
    """
    folder = Path(folder)
    manifest = read_pairs_manifest(folder)
    tell = progress or (lambda name: None)
    _check_archives(folder, manifest, folders=getattr(publisher, "folders", publisher.nested))
    links = {}
    for entry in manifest.archives:
        tell(entry.file)
        links[entry.file] = _checked_link(_put(folder, entry, publisher), entry.file)
    publisher.finish()
    moved = relinked(folder, manifest, links)
    _send_rest(folder, moved, publisher, tell)
    publisher.finish()
    return moved


def _put(folder: Path, entry: ArchiveEntry, publisher: Publisher) -> str:
    """Send an archive; of a Zarr folder every member, and last the list of them, by which others fetch it."""
    path = folder / entry.file
    if entry.format != "zarr":
        return publisher.put(path, entry.file)
    for name, file in archive_files(path):
        publisher.put(file, f"{entry.file}/{name}")
    link = publisher.put(write_members(path), f"{entry.file}{MEMBERS}")
    if not link.endswith(MEMBERS):
        raise OutputError(f"{entry.file}: there are no links to folders; build the data set with zarr.zip or h5ad")
    return link.removesuffix(MEMBERS)


def _check_archives(folder: Path, manifest: PairsManifest, *, folders: bool) -> None:
    for entry in manifest.archives:
        path = folder / entry.file
        if entry.format == "zarr" and not folders:
            raise OptionError(
                f"{entry.file}: a Zarr folder has no link there, since every file has one of its own; build the data set with "
                "zarr.zip or h5ad"
            )
        if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
            raise SourceError(f"{path}: lies outside the data set; build it again")
        if archive_sha256(path) != entry.sha256:
            raise SourceError(
                f"{path}: is not the archive that the manifest lists (its SHA-256 differs); build it again"
            )


def _checked_link(link: str, name: str) -> str:
    """A link goes into every row and on the card, so it must not let anyone in."""
    if has_secret(link):
        raise OutputError(f"{name}: its link has a password or token in it; publish where links are public")
    return link


def _send_rest(folder: Path, manifest: PairsManifest, publisher: Publisher, tell: Callable[[str], None]) -> None:
    """Rows, embedders, manifest; the card last."""
    sent = {entry.file for entry in manifest.archives} | {f"{entry.file}{MEMBERS}" for entry in manifest.archives}
    inside = tuple(f"{entry.file}/" for entry in manifest.archives if entry.format == "zarr")
    rest = [
        (name, path)
        for name, path in archive_files(folder)
        if name not in sent and not name.startswith(inside) and name != "README.md"
    ]
    if publisher.nested:
        for name, path in rest:
            tell(name)
            publisher.put(path, name)
    else:
        with packed(rest) as zipped:
            tell("dataset.zip")
            publisher.put(zipped, "dataset.zip")
    if (folder / "README.md").is_file():
        tell("README.md")
        publisher.put(folder / "README.md", "README.md")
