"""Find the samples of a collection that are most like a sample, and measure how often they are of the same kind.

Samples are principal components of their normalised genes (:class:`~corpuscle.bulk._features.Features`, fitted on the
collection); likeness is the cosine. Samples of the same study are left out unless asked for: replicates are always alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle import __version__
from corpuscle.bulk._features import Features
from corpuscle.bulk._nearest import nearest, unit_rows
from corpuscle.bulk.series import series_groups
from corpuscle.counts import Counts
from corpuscle.counts._identity import identities
from corpuscle.counts._passes import Progress
from corpuscle.errors import OptionError, SourceError

__all__ = ["SampleIndex"]

Array = np.ndarray[Any, Any]


class SampleIndex:
    """The samples of a collection as unit vectors, to be searched. Made by :meth:`build` or :meth:`load`.

    Attributes
    ----------
    features
        Turns counts into vectors.
    unit_nd
        (n, d) float32 unit vectors.
    samples
        (n,) names.
    series_n
        (n,) text of each sample's series; None where the collection does not say.
    groups_n
        (n,) int64 group of each sample: samples that share a series, directly or through others.
    notes
        Lines on what was left out or is missing.
    about
        Identities of the files of the collection and a hash of its sample names.
    """

    def __init__(
        self, features: Features, unit_nd: Array, samples: Array, series_n: Array | None, about: dict[str, Any]
    ) -> None:
        self.features, self.unit_nd, self.samples, self.series_n, self.about = (
            features, unit_nd, samples, series_n, about,
        )  # fmt: skip
        self.groups_n, notes = self._groups(series_n)
        self.notes = [*features.notes_, *notes]

    @classmethod
    def build(
        cls,
        counts: Counts,
        features: Features | None = None,
        *,
        series: str | None = "series_id",
        progress: Progress | None = None,
    ) -> SampleIndex:
        """Make the index of a collection.

        Parameters
        ----------
        counts
            The collection.
        features
            Fitted features; if None, ``Features()`` fitted on the collection.
        series
            obs column with the series of each sample; None where there is none.
        progress
            Called after every block.

        Raises
        ------
        OptionError
            There is no such column.
        """
        if series is not None:
            series_groups(counts.obs.iloc[:1], series)  # refuses a missing column before any work
        features = Features().fit(counts, progress) if features is None else features
        unit_nd = unit_rows(features.transform(counts, progress))
        names = np.array([str(name) for name in counts.obs.index])
        text_n = None if series is None else _texts(counts.obs[series])
        return cls(features, unit_nd, names, text_n, _about(counts))

    # -- searching -------------------------------------------------------------------------------------------

    @property
    def n_samples(self) -> int:
        """Samples of the collection."""
        return len(self.samples)

    def places(self, names: Sequence[str]) -> Array:
        """(q,) places of samples by name.

        Raises
        ------
        OptionError
            A name is not there, or is there several times.
        """
        index = pd.Index(self.samples)
        unknown = [name for name in names if name not in index]
        if unknown:
            raise OptionError(
                f"sample {unknown[0]} is not in the collection of {self.n_samples:,} samples ({len(unknown):,} of "
                f"{len(names):,} are not); its names are like {self.samples[0]}"
            )
        twice = [name for name in names if not isinstance(index.get_loc(name), int)]
        if twice:
            raise OptionError(f"sample {twice[0]} is in the collection several times; make sample names unique")
        return index.get_indexer(pd.Index(list(names))).astype(np.int64)

    def search(self, query: Sequence[str] | Array, k: int = 10, exclude_series: bool = True) -> pd.DataFrame:
        """Find the samples most like each query.

        Parameters
        ----------
        query
            Names of samples of the collection, or (q, d) vectors of ``features.transform``. Vectors are of no series;
            see :meth:`search_counts` for samples of another file.
        k
            Samples wanted for each.
        exclude_series
            Leave out samples that share a series with the query.

        Returns
        -------
        DataFrame
            Columns query, rank (from 1), sample, similarity (cosine) and series; fewer than k rows a query where fewer
            samples are left. A sample is never its own answer.

        Raises
        ------
        OptionError
            A name is unknown, ``k`` is below 1, vectors have another length, or the series are not known.
        """
        if isinstance(query, np.ndarray) and query.dtype.kind == "f":
            names = np.array([f"query {i + 1}" for i in range(len(query))])
            return self._found(names, query, None, np.full(len(query), -1), k)
        names = np.array([str(name) for name in query])
        place_q = self.places(list(names))
        if exclude_series:
            self._require_series()
        groups = (self.groups_n[place_q], self.groups_n) if exclude_series else None
        return self._found(names, self.unit_nd[place_q], groups, place_q, k)

    def search_counts(
        self,
        counts: Counts,
        k: int = 10,
        *,
        series: str | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Find the samples most like those of another file, through the features as they are.

        Parameters
        ----------
        counts
            The queries; genes are found by name.
        k
            Samples wanted for each.
        series
            Column of their ``obs`` with their series: samples that share one are left out. None: nothing is, but a
            sample of the same name.
        progress
            Called after every block.

        Returns
        -------
        DataFrame
            As :meth:`search` gives.
        """
        z_qd = self.features.transform(counts, progress)
        names = np.array([str(name) for name in counts.obs.index])
        groups = None
        if series is not None:
            self._require_series()
            series_groups(counts.obs.iloc[:1], series)  # refuses a missing column
            joint, _ = self._groups(np.concatenate([_texts(counts.obs[series]), self._series()]))
            groups = (joint[: len(names)], joint[len(names) :])
        single = pd.Index(self.samples)
        single = single if single.is_unique else single.drop_duplicates(keep=False)
        known_q = single.get_indexer(pd.Index(names))
        place_q = np.where(known_q >= 0, pd.Index(self.samples).get_indexer_for(single)[known_q], -1)
        return self._found(names, z_qd, groups, place_q, k)

    def neighbours(self, place_q: Array, k: int, exclude_series: bool = True) -> tuple[Array, Array]:
        """Places and cosines (q, k) of the samples most like those at ``place_q``; see :func:`_nearest.nearest`."""
        if exclude_series:
            self._require_series()
        return nearest(
            self.unit_nd[place_q], self.unit_nd, k, group_q=self.groups_n[place_q] if exclude_series else None,
            group_n=self.groups_n, self_q=place_q,
        )  # fmt: skip

    def _found(
        self, names: Array, z_qd: Array, groups: tuple[Array, Array] | None, place_q: Array, k: int
    ) -> pd.DataFrame:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise OptionError(f"k is {k!r} and must be a whole number of 1 or more")
        if z_qd.ndim != 2 or z_qd.shape[1] != self.unit_nd.shape[1]:
            raise OptionError(f"query vectors have shape {z_qd.shape}; the index has {self.unit_nd.shape[1]} columns")
        if not np.isfinite(z_qd).all():
            raise OptionError("query vectors hold values that are no numbers")
        k = min(k, self.n_samples)
        group_q, group_n = groups if groups is not None else (None, self.groups_n)
        place_qk, cosine_qk = nearest(
            unit_rows(z_qd), self.unit_nd, k, group_q=group_q, group_n=group_n, self_q=place_q
        )
        row, column = np.nonzero(place_qk >= 0)
        place = place_qk[row, column]
        series = np.full(len(place), "", object) if self.series_n is None else self.series_n[place]
        return pd.DataFrame(
            {"query": names[row], "rank": column + 1, "sample": self.samples[place],
             "similarity": cosine_qk[row, column].astype(np.float64), "series": series}
        )  # fmt: skip

    def _groups(self, text_n: Array | None) -> tuple[Array, list[str]]:
        if text_n is None:
            return np.arange(self.n_samples, dtype=np.int64), [
                "the collection does not say of which series samples are"
            ]
        return series_groups(pd.DataFrame({"series": text_n}), "series")

    def _series(self) -> Array:
        assert self.series_n is not None
        return self.series_n

    def _require_series(self) -> None:
        if self.series_n is None:
            raise OptionError(
                "samples of the same series cannot be left out, since the index has no series; build it with a column of "
                "series, or include the same series (replicates then come first)"
            )

    def with_series(self, counts: Counts, series: str | None) -> SampleIndex:
        """The same index with the series of another column of its collection; None for none.

        Raises
        ------
        OptionError
            There is no such column.
        """
        text_n = None
        if series is not None:
            series_groups(counts.obs.iloc[:1], series)  # refuses a missing column
            text_n = _texts(counts.obs[series])
        return SampleIndex(self.features, self.unit_nd, self.samples, text_n, self.about)

    # -- keeping ---------------------------------------------------------------------------------------------

    def check_collection(self, counts: Counts) -> None:
        """Refuse a collection that is not the one the index was made of.

        Raises
        ------
        SourceError
            Its files or sample names are others now.
        """
        now = _about(counts)
        if {**self.about, "version": None} != {**now, "version": None}:
            what = "samples" if self.about["samples"] != now["samples"] else "files"
            raise SourceError(
                f"{counts.name}: its {what} are not those the index was made of (it changed, or is another); make the index "
                "again in another folder"
            )

    def save(self, folder: str | Path) -> None:
        """Write vectors, names and features to a folder that is there when it is complete; nothing is pickled.

        Raises
        ------
        OutputError
            The folder cannot be written, or holds something else.
        """
        from corpuscle.bulk._similar_files import save_index

        save_index(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> SampleIndex:
        """Read what :meth:`save` wrote.

        Raises
        ------
        SourceError
            Files are missing, damaged, or not ours.
        """
        from corpuscle.bulk._similar_files import load_index

        return load_index(Path(folder))


def _texts(column: pd.Series) -> Array:
    """The column as text, empty where nothing is."""
    return column.astype("object").where(column.notna(), "").astype(str).to_numpy(str)


def _about(counts: Counts) -> dict[str, Any]:
    names = "\n".join(str(name) for name in counts.obs.index)
    return {
        "samples": hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest(), "n_samples": counts.n_obs,
        "sources": identities(counts), "version": __version__,
    }  # fmt: skip
