"""What can be wrong with a share link, one type for each, so that a caller can tell them apart."""

from __future__ import annotations

from corpuscle.errors import SourceError

__all__ = [
    "DeadLink",
    "LinkError",
    "MissingId",
    "MissingKey",
    "SharePage",
    "TooLarge",
    "TruncatedArchive",
    "UnsafeArchive",
    "UnsafeLink",
    "WrongChecksum",
    "WrongFormat",
    "ZipBomb",
]


class LinkError(SourceError):
    """A share link does not lead to the archive that it should."""


class DeadLink(LinkError):
    """Nothing is there: no such file, no such server, no permission, or no answer.

    Attributes
    ----------
    status
        What a web server answered, e.g. 404; None where none answered.
    """

    status: int | None = None


class SharePage(LinkError):
    """The link leads to a web page about the file, not to the file."""


class TruncatedArchive(LinkError):
    """The archive ends too early or is damaged inside."""


class WrongChecksum(LinkError):
    """A whole archive is there, and it is not the one that the rows were built from."""


class WrongFormat(LinkError):
    """The file is of another format than the rows say, or of none that is known."""


class UnsafeLink(LinkError):
    """The link leaves the folder of its data set, holds credentials, or is of a scheme that is not followed."""


class UnsafeArchive(LinkError):
    """The archive reaches outside itself or would run code: it is not opened."""


class ZipBomb(UnsafeArchive):
    """The archive would unpack to more than the limit."""


class TooLarge(LinkError):
    """The file is larger than the limit for one download."""


class _Missing(SourceError, KeyError):
    # A KeyError prints its argument quoted; the line for the user is plain.
    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MissingId(_Missing):
    """A cell that was asked for is in no row, or not in the archive of its row."""


class MissingKey(_Missing):
    """An embedding that was asked for is not in an archive."""
