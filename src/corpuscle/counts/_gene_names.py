"""What a list of gene names tells: the kind of identifier, the species, and the genes that quality control asks for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from corpuscle.counts._gene_table import GeneTable, mouse_symbols, strip_version

__all__ = [
    "IdentifierKind",
    "SpeciesGuess",
    "as_symbols",
    "guess_species",
    "identifier_kind",
    "immunoglobulin_genes",
    "mitochondrial",
    "reporter_genes",
]

Mask = np.ndarray[Any, np.dtype[np.bool_]]
UNDETERMINED = "undetermined"

#: First match wins; the group's name with spaces for underscores is the kind.
KIND = re.compile(
    r"(?P<Ensembl_id>ENS[A-Z]{0,4}GR?\d{10,11}$)"
    r"|(?P<Ensembl_id_with_version>ENS[A-Z]{0,4}GR?\d{10,11}\.\d+(_PAR_Y)?$)"
    r"|(?P<Ensembl_transcript>ENS[A-Z]{0,4}T\d{11}(\.\d+)?)"
    r"|(?P<TAIR_locus>AT[1-5MC]G\d{5}(\.\d+)?$)"
    r"|(?P<FlyBase_id>FBgn\d{7}$)"
    r"|(?P<WormBase_id>WBGene\d{8}$)"
    r"|(?P<yeast_ORF>Y[A-P][LR]\d{3}[WC](-[A-Z])?$)"
    r"|(?P<RefSeq_transcript>[NX][MR]_\d+(\.\d+)?$)"
    r"|(?P<ERCC_spike_in>ERCC-\d{5}$)"
    r"|(?P<cell_barcode>(.*[_:#])?[ACGTN]{10,}([-_.]\w+)*$)"
    r"|(?P<placeholder>(?i:gene|feature|var|variable|column|col|probe)[_\-. ]?\d+$)"
    r"|(?P<date>(?i:\d{1,2}-(mar|sep|dec|oct|nov|apr|feb)|(mar|sep|dec)-\d{1,2})$)"
    r"|(?P<number>\d{1,18}(\.0)?$)"
    r"|(?P<symbol>(?=.*[A-Za-z])[^\s,;]+( ?\(.*\))?$)",
    re.ASCII,
)
#: A kind must reach this share to stand for the whole list.
DOMINANT = 0.9


@dataclass(frozen=True)
class IdentifierKind:
    """The kind of identifier in a list of names.

    Attributes
    ----------
    kind
        ``"symbol"``, ``"Ensembl id"``, ``"Ensembl id with version"``, ``"Ensembl transcript"``, ``"TAIR locus"``,
        ``"Entrez number"``, ``"placeholder"`` (``gene_00001``, or the numbers 0 to n - 1), ``"cell barcode"`` and a few
        more; ``"mixed"`` if none reaches 90 %, ``"none"`` for an empty list.
    shares
        Kind -> share of the names, largest first.
    examples
        Kind -> its first name.
    """

    kind: str
    shares: dict[str, float]
    examples: dict[str, str]


def identifier_kind(names: Iterable[str]) -> IdentifierKind:
    """Tell symbols from Ensembl, TAIR, Entrez and other identifiers by their form."""
    listed = [str(name) for name in names]
    tally: Counter[str] = Counter()
    examples: dict[str, str] = {}
    numbers: set[int] = set()
    for name in listed:
        match = KIND.match(name)
        kind = match.lastgroup.replace("_", " ") if match and match.lastgroup else "other"
        tally[kind] += 1
        examples.setdefault(kind, name)
        if kind == "number":
            numbers.add(int(name.strip().removesuffix(".0")))
    if numbers:
        counting = min(numbers) <= 1 and max(numbers) - min(numbers) == len(numbers) - 1
        meaning = "placeholder" if counting else "Entrez number"
        tally[meaning] += tally.pop("number")
        examples.setdefault(meaning, examples.pop("number"))
    shares = {kind: count / len(listed) for kind, count in tally.most_common()}
    first = next(iter(shares), "none")
    return IdentifierKind(first if shares.get(first, 1.0) >= DOMINANT else "mixed", shares, examples)


class SpeciesGuess(NamedTuple):
    """A species (``"undetermined"`` is an answer) and, in one line, what speaks for it."""

    species: str
    evidence: str


ENSEMBL_SPECIES = {
    "": "human", "MUS": "mouse", "RNO": "rat", "DAR": "zebrafish", "MMU": "rhesus macaque", "PTR": "chimpanzee",
    "MFA": "crab-eating macaque", "CJA": "marmoset", "SSC": "pig", "BTA": "cow", "OAR": "sheep", "CAF": "dog",
    "GAL": "chicken", "XET": "Xenopus tropicalis", "OCU": "rabbit", "CGR": "Chinese hamster", "MAU": "golden hamster",
    "MOD": "opossum",
}  # fmt: skip
ID_SPECIES = {
    "TAIR locus": "Arabidopsis thaliana",
    "FlyBase id": "Drosophila melanogaster",
    "WormBase id": "Caenorhabditis elegans",
    "yeast ORF": "Saccharomyces cerevisiae",
}
GENOME_PREFIX = re.compile(r"^(GRCh3[78]|hg19|hg38|GRCm3[89]|mm10|mm39)_+")
#: Names that only the mouse has, whatever their capitals: RIKEN clones and predicted genes.
MOUSE_CLONE = re.compile(r"(\d{7}[A-P]\d{2}Rik|Gm\d{4,5})$", re.IGNORECASE)
ENSEMBL_PREFIX = re.compile(r"ENS([A-Z]{0,4}?)[GT]R?\d{10,11}")


def guess_species(names: Iterable[str]) -> SpeciesGuess:
    """Guess the species by Ensembl prefixes and locus tags, else by symbols known to be human or mouse.

    Identifiers decide over symbols, because references name what has no symbol by its id. A reference of several
    genomes (``GRCh38_ACTB``, ``mm10_Actb``) is a mixture.
    """
    listed = [str(name) for name in names]
    if not listed:
        return SpeciesGuess(UNDETERMINED, "no gene names")
    for found, what in ((_by_genome(listed), "genome prefixes"), (_by_id(listed), "identifiers")):
        total = sum(found.values())
        if total < max(1, 0.002 * len(listed)):
            continue
        present = [(species, n) for species, n in found.most_common() if n >= 0.05 * total]
        evidence = ", ".join(f"{n:,} {species}" for species, n in present)
        return SpeciesGuess(" and ".join(species for species, _ in present), f"{what}: {evidence} of {len(listed):,}")
    return _by_symbol(listed)


def _by_genome(names: list[str]) -> Counter[str]:
    genomes = (GENOME_PREFIX.match(name) for name in names)
    return Counter("human" if match[1].lower().startswith(("grch", "hg")) else "mouse" for match in genomes if match)


def _by_id(names: list[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name in names:
        ensembl = ENSEMBL_PREFIX.match(name)
        if ensembl:
            found[ENSEMBL_SPECIES.get(ensembl[1], f"Ensembl species ENS{ensembl[1]}")] += 1
            continue
        match = KIND.match(name)
        species = ID_SPECIES.get((match.lastgroup or "").replace("_", " ")) if match else None
        if species:
            found[species] += 1
    return found


def _by_symbol(names: list[str]) -> SpeciesGuess:
    human, mouse = GeneTable.human().symbols, mouse_symbols()
    n_human, n_mouse = sum(name in human for name in names), sum(name in mouse for name in names)
    n_clones = sum(MOUSE_CLONE.match(name) is not None for name in names)
    of = f"of {len(names):,} names"
    if n_mouse < n_human and n_clones >= max(3, 0.005 * len(names)):
        return SpeciesGuess("mouse", f"{n_clones:,} mouse-only clone names {of}; the symbols are in capitals")
    best, other = max(n_human, n_mouse), min(n_human, n_mouse)
    if best >= max(3, 0.3 * len(names)) and best >= 2 * other:
        if n_human > n_mouse:
            return SpeciesGuess("human", f"{n_human:,} {of} are human symbols")
        return SpeciesGuess("mouse", f"{n_mouse:,} {of} are mouse symbols (those of the rat look alike)")
    return SpeciesGuess(UNDETERMINED, f"{n_human:,} human and {n_mouse:,} mouse symbols {of}")


# -- genes with a role in quality control ---------------------------------------------------------------------------

#: The mitochondrial genome of the mouse: 13 proteins, 22 tRNA, 2 rRNA.
MOUSE_MITOCHONDRIAL = frozenset(
    f"ENSMUSG000000{number}" for number in [*(n for n in range(64336, 64373) if n != 64362), 65947]
)
IMMUNOGLOBULIN = re.compile(r"(IG[HKL]|Ig[hkl])")
NOT_IMMUNOGLOBULIN = frozenset({"IGHMBP2", "IGLON5", "Ighmbp2", "Iglon5"})
REPORTER = re.compile(
    r"(e?gfp|e?yfp|ecfp|ebfp2?|tdtomato|tdt|mcherry|ds-?red2?|rfp|venus|mneongreen|zsgreen1?|mkate2?|citrine"
    r"|cre(ert2?)?|wpre|neor?|lacz)([-_.].*)?$",
    re.IGNORECASE,
)


def as_symbols(names: Iterable[str]) -> list[str]:
    """Replace human Ensembl ids by their symbols and take genome prefixes off."""
    listed = [GENOME_PREFIX.sub("", str(name)) for name in names]
    if not any(name.startswith("ENSG") for name in listed):
        return listed
    symbols = GeneTable.human().ids_to_symbols(listed).mapped
    return [symbol or name for symbol, name in zip(symbols, listed, strict=True)]


def mitochondrial(names: Iterable[str]) -> Mask:
    """(g,) mask of genes of the mitochondrial genome.

    By symbol (``MT-``, ``mt-``, ``mt:``), by TAIR locus (``ATMG``), and by Ensembl id for the 37 genes of human and of
    mouse.
    """
    return np.array(
        [
            symbol[:3].lower() in ("mt-", "mt.", "mt:")
            or symbol[:4].upper() == "ATMG"
            or strip_version(symbol) in MOUSE_MITOCHONDRIAL
            for symbol in as_symbols(names)
        ],
        bool,
    )


def immunoglobulin_genes(names: Iterable[str]) -> Mask:
    """(g,) mask of immunoglobulin genes: prefixes IGH, IGK and IGL, in mouse Igh, Igk and Igl.

    The pseudo-light chains IGLL1 and IGLL5 are in; IGHMBP2 and IGLON5, which only look like it, are not.
    """
    return np.array(
        [IMMUNOGLOBULIN.match(name) is not None and name not in NOT_IMMUNOGLOBULIN for name in as_symbols(names)], bool
    )


def reporter_genes(names: Iterable[str]) -> Mask:
    """(g,) mask of names of transgenes: fluorescent reporters (eGFP, tdTomato, ...), Cre, WPRE, neo, lacZ."""
    return np.array([REPORTER.match(str(name)) is not None for name in names], bool)
