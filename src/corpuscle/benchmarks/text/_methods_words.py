"""Methods that need no vectors of cells: marker genes of the types, and the cell's genes as a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from corpuscle.benchmarks._marker_candidates import candidate_markers
from corpuscle.benchmarks.text._methods_celltext import CODE, Trained, scorer_of
from corpuscle.benchmarks.text._methods_texts import SCALE, by_text, cosines, unit_vectors
from corpuscle.benchmarks.text.methods import Array, Scorer
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.benchmarks.text._draw import Shown

__all__ = ["MarkerGenes", "Sentences", "SentencesTrained"]

#: Genes of a sentence that the text encoder reads; more would pass its 256 tokens.
N_GENES = 64


@dataclass
class MarkerGenes:
    """Scores by the bundled ASCT+B marker genes of the types asked for; it knows these by name, and no training cell.

    Parameters
    ----------
    scoring
        Of :func:`~corpuscle.annotate.sources.markers.marker_scores`.
    organs
        Organs whose tables are read, with ``+`` between them; None is what the run says, and that is all by default.
    table
        File of markers to use instead.
    """

    scoring: Literal["sctype", "ucell", "ulm", "mean"] = "sctype"
    organs: str | None = None
    table: str | None = None
    name = "markers"
    told = "the names of the types, and which type a text means"
    needs_vectors = False
    code = ("corpuscle.annotate", "corpuscle.benchmarks._marker_candidates")

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Score the cells to be judged for all types that have an id in the Cell Ontology."""
        from corpuscle.annotate.sources.markers import marker_scores

        organs = self.organs.split("+") if self.organs else shown.organs
        ids = {name: shown.cl_ids.get(name) for name in shown.types}
        markers, notes = candidate_markers(self.name, ids, organs=organs, table=self.table)
        scores = marker_scores(shown.counts("test"), markers, scoring=self.scoring)
        place = {name: k for k, name in enumerate(scores.types)}
        lacking = [name for name in shown.types if name not in place]
        if lacking:
            notes = (*notes, f"{self.name}: types without markers, so not judged: {', '.join(lacking)}")
        values_mk = np.asarray(scores.values_nk, np.float64)

        def score(texts: Sequence[str | None], asked: Sequence[str]) -> Array:
            known = [None if text is None or one not in place else one for text, one in zip(texts, asked, strict=True)]
            return by_text(known, len(values_mk), lambda names: values_mk[:, [place[name] for name in names]])

        return Scorer(score, 1.0, None, notes)


@dataclass
class Sentences:
    """Cosine of two texts in a general text encoder: the cell's highest genes, and what is asked. Nothing is learnt.

    Parameters
    ----------
    n_genes
        Genes of a sentence at most.
    text_model
        Folder of a text encoder; all-MiniLM-L6-v2 if None.
    """

    n_genes: int = N_GENES
    text_model: str | None = None
    name = "sentences"
    told = "nothing"
    needs_vectors = False
    code = ("corpuscle.benchmarks.text._methods_texts",)

    def __post_init__(self) -> None:
        _check_genes(self.name, self.n_genes)

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Encode the sentences of the cells to be judged."""
        cell_md = unit_vectors(_first(shown.sentences("test"), self.n_genes), self.text_model)
        return Scorer(cosines(cell_md, self.text_model), SCALE)


@dataclass
class SentencesTrained(Trained):
    """:class:`Trained` on the text encoder's vectors of the gene sentences: a control that sees the cells as text only.

    Parameters
    ----------
    n_genes
        Genes of a sentence at most.
    """

    n_genes: int = N_GENES
    name = "sentences_trained"
    told = "the captions of the training cells"
    needs_vectors = False
    code = CODE

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_genes(self.name, self.n_genes)

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Encode all sentences, train on those of the training cells."""
        train_nd, test_md = (
            unit_vectors(_first(sentences, self.n_genes), self.text_model)
            for sentences in (shown.sentences("train"), shown.sentences("test"))
        )
        store = SentenceStore(shown.ids("train"), train_nd)
        return scorer_of(self.fitted(self.rows(shown, seed), store, seed), train_nd, test_md)


class SentenceStore:
    """Vectors of cells in memory, with as much of the face of a store on disk as training looks at.

    Parameters
    ----------
    ids
        The n ids, each once.
    vectors_nd
        Their vectors, (n, d) float32.
    """

    folder = "sentences"
    key = "X_sentences"

    def __init__(self, ids: Sequence[str], vectors_nd: Array) -> None:
        self.place = {id: n for n, id in enumerate(ids)}
        self.vectors_nd, self.width = vectors_nd, int(vectors_nd.shape[1])

    def __contains__(self, id: object) -> bool:
        return id in self.place

    def lookup(self, ids: Sequence[str]) -> Any:
        """The vectors of cells in the order asked, (len(ids), d)."""
        return self.vectors_nd[[self.place[id] for id in ids]]


def _first(sentences: Sequence[str], n_genes: int) -> list[str]:
    return [" ".join(sentence.split()[:n_genes]) for sentence in sentences]


def _check_genes(name: str, n_genes: int) -> None:
    if n_genes < 1:
        raise OptionError(f"{name}: n_genes is {n_genes}; a sentence needs at least 1")
