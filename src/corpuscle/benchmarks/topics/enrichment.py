"""Which gene sets a topic is enriched for: by its top genes (ORA), or by its whole ranking of the genes (GSEA)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.topics.gene_sets import GeneSets
from corpuscle.errors import MethodError, OptionError

__all__ = ["Enrichment", "gsea", "ora", "require_testable"]

Array = np.ndarray[Any, Any]
FDR = 0.01
#: Sizes of the sets, counted in ranked genes, that a ranking can be tested with.
MIN_SIZE, MAX_SIZE = 15, 500
COLUMNS = ["topic", "gene_set", "score", "p", "q", "overlap", "genes"]


@dataclass(frozen=True)
class Enrichment:
    """Enriched sets of every topic.

    Attributes
    ----------
    table
        Tested topic-set pairs with q at or below the threshold: topic, gene_set, score (odds ratio, or normalised
        enrichment score), p, q, overlap (genes in common), genes (those, or the leading edge). Best q first.
    n_tested
        Topic-set pairs that were tested.
    n_enriched
        Rows of ``table``: pairs with q at or below the threshold, over all topics.
    n_unique
        Different sets among them.
    """

    table: pd.DataFrame
    n_tested: int

    @property
    def n_enriched(self) -> int:
        """Enriched topic-set pairs."""
        return len(self.table)

    @property
    def n_unique(self) -> int:
        """Different enriched sets."""
        return int(self.table["gene_set"].nunique())

    @property
    def unique_fraction(self) -> float:
        """``n_unique / n_enriched``; NaN where nothing is enriched."""
        return self.n_unique / self.n_enriched if self.n_enriched else float("nan")


def ora(top: Sequence[Sequence[str]], gene_sets: GeneSets, fdr: float = FDR) -> Enrichment:
    """Over-representation of each topic's top genes in each gene set.

    Hypergeometric test (gseapy's ``enrich``) with all genes of the collection as the background; Benjamini-Hochberg
    within a topic over the sets that share a gene with it, as gseapy does it. Genes are compared exactly.

    Raises
    ------
    MethodError
        gseapy is not installed, or a test failed; no topic is ever left out in silence.
    """
    gseapy = _gseapy()
    code_of, sets, background = _coded(gene_sets)
    gene_of = {code: gene for gene, code in code_of.items()}
    frames, tested = [], 0
    for k, genes in enumerate(top):
        listed = [code_of[gene] for gene in genes if gene in code_of]
        if not listed:
            continue
        with _quiet(f"over-representation of topic {k}"):
            found = gseapy.enrich(listed, sets, background=background, outdir=None, no_plot=True, cutoff=fdr).results
        tested += len(found)
        found = found[found["Adjusted P-value"] <= fdr]
        common = [code.split(";") for code in found["Genes"]]
        frames.append(
            pd.DataFrame(
                {
                    "topic": k, "gene_set": found["Term"].to_numpy(), "score": found["Odds Ratio"].to_numpy(float),
                    "p": found["P-value"].to_numpy(float), "q": found["Adjusted P-value"].to_numpy(float),
                    "overlap": [len(codes) for codes in common],
                    "genes": [" ".join(sorted(gene_of[code] for code in codes)) for codes in common],
                }
            )
        )  # fmt: skip
    return Enrichment(_joined(frames), tested)


def gsea(
    topic_gene_kg: Array,
    genes: Sequence[str],
    gene_sets: GeneSets,
    *,
    permutations: int = 1000,
    fdr: float = FDR,
    seed: int = 0,
    threads: int = 1,
) -> Enrichment:
    """Pre-ranked gene-set enrichment of all genes by each topic's weights, both signs.

    gseapy's ``prerank`` (Subramanian et al. 2005): sets of 15 to 500 ranked genes, weight 1. Genes of equal weight keep
    the order of ``genes``. A topic whose weights are all equal ranks nothing and is not tested.

    Parameters
    ----------
    topic_gene_kg
        Topics x genes, higher is more typical.
    genes
        Names of the columns.
    permutations
        Permutations a topic.

    Raises
    ------
    MethodError
        gseapy is not installed, no set has 15 to 500 of the genes, or a test failed.
    """
    gseapy = _gseapy()
    weight_kg = np.asarray(topic_gene_kg, np.float64)
    if weight_kg.ndim != 2 or weight_kg.shape[1] != len(genes) or not np.isfinite(weight_kg).all():
        raise OptionError(f"topic weights of shape {weight_kg.shape} must be finite, topics x {len(genes)} genes")
    if permutations < 1:
        raise OptionError(f"{permutations} permutations are too few for a false discovery rate; use 100 or more")
    code_of = {gene: f"G{i}" for i, gene in enumerate(genes)}
    gene_of = {code: gene for gene, code in code_of.items()}
    sets = _testable(gene_sets, code_of)
    codes = np.array(list(code_of.values()))
    frames, tested = [], 0
    for k, weight_g in enumerate(weight_kg):
        if np.ptp(weight_g) == 0:
            continue
        order = np.argsort(-weight_g, kind="stable")
        ranking = pd.Series(weight_g[order], index=codes[order])
        with _quiet(f"gene-set enrichment of topic {k}"):
            found = gseapy.prerank(
                ranking, sets, outdir=None, no_plot=True, min_size=MIN_SIZE, max_size=MAX_SIZE, weight=1.0,
                permutation_num=permutations, seed=seed, threads=threads, ascending=None,
            ).res2d  # fmt: skip
        tested += len(found)
        frames.append(_enriched(found[found["FDR q-val"] <= fdr], k, sets, gene_of))
    return Enrichment(_joined(frames), tested)


def require_testable(gene_sets: GeneSets, genes: Sequence[str]) -> int:
    """How many sets have a size that the pre-ranked test takes, counted in ``genes``.

    Raises
    ------
    MethodError
        None, or gseapy is not installed.
    """
    _gseapy()
    return len(_testable(gene_sets, {gene: gene for gene in genes}))


def _enriched(found: pd.DataFrame, topic: int, sets: dict[str, list[str]], gene_of: dict[str, str]) -> pd.DataFrame:
    leading = [" ".join(gene_of[code] for code in codes.split(";") if code) for codes in found["Lead_genes"]]
    return pd.DataFrame(
        {
            "topic": topic, "gene_set": found["Term"].to_numpy(), "score": found["NES"].to_numpy(float),
            "p": found["NOM p-val"].to_numpy(float), "q": found["FDR q-val"].to_numpy(float),
            "overlap": [len(sets[name]) for name in found["Term"]], "genes": leading,
        }
    )  # fmt: skip


def _coded(gene_sets: GeneSets) -> tuple[dict[str, str], dict[str, list[str]], list[str]]:
    """Genes under code names: gseapy would turn symbols into upper case, and numeric ids into numbers, by guess."""
    code_of = {gene: f"G{i}" for i, gene in enumerate(sorted(gene_sets.genes))}
    sets = {name: [code_of[gene] for gene in genes] for name, genes in gene_sets.sets.items()}
    return code_of, sets, list(code_of.values())


def _testable(gene_sets: GeneSets, code_of: dict[str, str]) -> dict[str, list[str]]:
    """Sets whose number of ranked genes is one that can be tested, under the ranking's code names."""
    sets = {}
    for name, members in gene_sets.sets.items():
        there = [code_of[gene] for gene in members if gene in code_of]
        if MIN_SIZE <= len(there) <= MAX_SIZE and len(there) < len(code_of):
            sets[name] = there
    if not sets:
        raise MethodError(
            f"none of the {len(gene_sets):,} gene sets has {MIN_SIZE} to {MAX_SIZE} of the {len(code_of):,} genes that are "
            "ranked; use more genes or larger sets"
        )
    return sets


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame(columns=COLUMNS)
    joined = pd.concat(frames, ignore_index=True)
    return joined.sort_values(["topic", "q", "p", "gene_set"], ignore_index=True)


def _gseapy() -> Any:
    try:
        import gseapy
    except ImportError:
        raise MethodError("enrichment needs an extra; run: pip install 'corpuscle[interpret]'") from None
    return gseapy


@contextlib.contextmanager
def _quiet(what: str) -> Iterator[None]:
    """Keep gseapy's log off stderr, and turn whatever it raises into one line."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.ERROR))
    try:
        yield
    except Exception as error:  # gseapy raises LookupError, ValueError, AssertionError and panics of its Rust core
        raise MethodError(f"{what} failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    finally:
        logging.disable(before)
