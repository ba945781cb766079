"""Genes as people write them in marker tables: signs behind the name, names of proteins, lists in one field."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["gene_of_protein", "split_genes", "split_sign", "unique"]

SEPARATORS = re.compile(r"[,;|\n]+")
#: A remark in brackets behind a symbol, and an Ensembl id hung on it: ``FLT4 (VEGFR-3)``, ``RGS5_ENSG00000143248``.
REMARK = re.compile(r"(\s*\([^()]*\)|_ENSG\d{11}(\.\d+)?)$")

#: Proteins that are better known by another name than the gene's symbol -> the gene.
PROTEINS = {
    "ASMA": "ACTA2", "B220": "PTPRC", "BCMA": "TNFRSF17", "BDCA1": "CD1C", "BDCA2": "CLEC4C", "BDCA3": "THBD",
    "BLIMP-1": "PRDM1", "BLIMP1": "PRDM1", "CALRETININ": "CALB2", "CD10": "MME", "CD103": "ITGAE", "CD105": "ENG",
    "CD11A": "ITGAL", "CD11B": "ITGAM", "CD11C": "ITGAX", "CD115": "CSF1R", "CD116": "CSF2RA", "CD117": "KIT",
    "CD122": "IL2RB", "CD123": "IL3RA", "CD127": "IL7R", "CD13": "ANPEP", "CD133": "PROM1", "CD134": "TNFRSF4",
    "CD135": "FLT3", "CD137": "TNFRSF9", "CD138": "SDC1", "CD140A": "PDGFRA", "CD140B": "PDGFRB", "CD141": "THBD",
    "CD144": "CDH5", "CD146": "MCAM", "CD15": "FUT4", "CD152": "CTLA4", "CD16": "FCGR3A", "CD161": "KLRB1",
    "CD183": "CXCR3", "CD184": "CXCR4", "CD185": "CXCR5", "CD193": "CCR3", "CD194": "CCR4", "CD196": "CCR6",
    "CD197": "CCR7", "CD20": "MS4A1", "CD206": "MRC1", "CD21": "CR2", "CD23": "FCER2", "CD235A": "GYPA", "CD25": "IL2RA",
    "CD278": "ICOS", "CD279": "PDCD1", "CD29": "ITGB1", "CD294": "PTGDR2", "CD3": "CD3E", "CD303": "CLEC4C",
    "CD304": "NRP1", "CD31": "PECAM1", "CD314": "KLRK1", "CD335": "NCR1", "CD39": "ENTPD1", "CD3Z": "CD247",
    "CD41": "ITGA2B", "CD42B": "GP1BA", "CD45": "PTPRC", "CD45RA": "PTPRC", "CD45RO": "PTPRC", "CD49A": "ITGA1",
    "CD49D": "ITGA4", "CD54": "ICAM1", "CD56": "NCAM1", "CD57": "B3GAT1", "CD61": "ITGB3", "CD62L": "SELL",
    "CD62P": "SELP", "CD64": "FCGR1A", "CD66B": "CEACAM8", "CD71": "TFRC", "CD73": "NT5E", "CD8": "CD8A", "CD90": "THY1",
    "CD94": "KLRD1", "CD95": "FAS", "CHROMOGRANIN A": "CHGA", "E-CADHERIN": "CDH1", "ENDOGLIN": "ENG", "FCER1": "FCER1A",
    "FOXP-3": "FOXP3", "GASTRIN": "GAST", "GHRELIN": "GHRL", "GLUCAGON": "GCG", "GUANYLIN": "GUCA2A", "HLA-DR": "HLA-DRA",
    "HOBIT": "ZNF683", "IBA1": "AIF1", "IGA": "IGHA1", "IGD": "IGHD", "IGE": "IGHE", "IGG": "IGHG1", "IGM": "IGHM",
    "INSULIN": "INS", "KERATIN 18": "KRT18", "KERATIN 19": "KRT19", "KERATIN 20": "KRT20", "KERATIN 7": "KRT7",
    "KERATIN 8": "KRT8", "LANGERIN": "CD207", "LYVE-1": "LYVE1", "MAP-2": "MAP2", "MELANA": "MLANA", "MUCIN 2": "MUC2",
    "NKG2A": "KLRC1", "NKG2C": "KLRC2", "NKG2D": "KLRK1", "NKP30": "NCR3", "NKP44": "NCR2", "NKP46": "NCR1",
    "NTPDASE3": "ENTPD3", "PANCREATIC ALPHA-AMYLASE": "AMY2A", "PANCREATIC LIPASE": "PNLIP",
    "PANCREATIC POLYPEPTIDE": "PPY", "PD-1": "PDCD1", "PD-L1": "CD274", "PD1": "PDCD1", "PDGFRALPHA": "PDGFRA",
    "PDGFRBETA": "PDGFRB", "PDL1": "CD274", "PERIPHERIN": "PRPH", "PGP9.5": "UCHL1", "PODOPLANIN": "PDPN",
    "SMOOTHELIN": "SMTN", "SOMATOSTATIN": "SST", "SYNAPTOPHYSIN": "SYP", "T-BET": "TBX21", "TBET": "TBX21",
    "TCRA": "TRAC", "TCRB": "TRBC1", "UROGUANYLIN": "GUCA2B", "VE-CADHERIN": "CDH5", "VEGFR-3": "FLT4", "VIMENTIN": "VIM",
}  # fmt: skip


def gene_of_protein(name: str) -> str | None:
    """Gene of a protein's common name (``CD20`` -> ``MS4A1``); None for a name that is not known as one."""
    return PROTEINS.get(name.strip().upper())


def split_genes(field: str) -> list[str]:
    """Names in one field that may hold several, split at ``, ; |`` and line ends, each once, whatever its case."""
    return unique(SEPARATORS.split(field))


def unique(names: Iterable[str]) -> list[str]:
    """Non-blank names, each once, whatever its case, in the order of their first spelling."""
    first: dict[str, str] = {}
    for name in names:
        if name.strip():
            first.setdefault(name.strip().upper(), name.strip())
    return list(first.values())


def split_sign(name: str) -> tuple[str, int]:
    """The gene and 1 or -1: a plus or minus behind a name says whether the type has it; remarks are taken off.

    >>> split_sign("CD34+"), split_sign("CD4-"), split_sign("FLT4 (VEGFR-3)")
    (('CD34', 1), ('CD4', -1), ('FLT4', 1))
    """
    plain = REMARK.sub("", name.strip())
    if len(plain) > 1 and plain[-1] in "+-":
        return plain[:-1].strip(), 1 if plain[-1] == "+" else -1
    return plain, 1
