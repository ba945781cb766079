"""Gene identifiers: mapping without silent choices, kinds, species and the genes of quality control."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.counts.genes import (
    GeneTable,
    guess_species,
    human_mouse_pairs,
    identifier_kind,
    immunoglobulin_genes,
    mitochondrial,
    reporter_genes,
    strip_version,
)

HUMAN = GeneTable.human()
SPECIES = {
    "annotation/human_lymph_330": "human",
    "archs4/gtex_50samples_muscle": "human",
    "batch/cellline3_two_platforms": "human",
    "batch/onek1k_1000g": "human",
    "batch/zilionis_mouse_lung": "mouse",  # symbols in capitals, as a human matrix would have them
    "clustering/deng_mouse_embryo": "mouse",
    "clustering/goolam_mouse_embryo": "mouse",
    "clustering/mouse_endocrinogenesis_hvg": "mouse",
    "clustering/paul15_mouse_myeloid": "mouse",
    "clustering/pollen_human_cells": "human",
    "clustering/worm_neuron": "undetermined",
    "pbmc/pbmc68k_reduced": "human",
    "perturbation/glioblastoma_panobinostat": "human",
}


def var_of(path: Path):
    anndata = pytest.importorskip("anndata")
    return anndata.read_h5ad(path, backed="r").var


@pytest.mark.parametrize(
    ("symbol", "gene_id"),
    [
        ("IGKC", "ENSG00000211592"),
        ("IGLC2", "ENSG00000211677"),
        ("IGLC3", "ENSG00000211679"),
        ("CCDC132", "ENSG00000004766"),  # older name of VPS50
        ("VPS50", "ENSG00000004766"),
        ("CD79A", "ENSG00000105369"),  # also the name of a copy on an alternative haplotype, which v44 lacks
        ("ENSG00000211592.7", "ENSG00000211592"),
    ],
)
def test_symbol_maps_to_its_one_id(symbol: str, gene_id: str) -> None:
    mapping = HUMAN.symbols_to_ids([symbol])
    assert mapping.mapped == (gene_id,)
    assert not mapping.ambiguous
    assert not mapping.unmapped


def test_ambiguous_symbol_is_reported_and_never_chosen() -> None:
    mapping = HUMAN.symbols_to_ids(["MATR3", "NOT_A_GENE", "ACTB"])
    assert mapping.mapped == (None, None, "ENSG00000075624")
    assert mapping.ambiguous == {"MATR3": ("ENSG00000015479", "ENSG00000280987")}
    assert mapping.unmapped == ["NOT_A_GENE"]
    assert mapping.share == pytest.approx(1 / 3)


def test_name_that_moved_to_another_id_is_told() -> None:
    mapping = HUMAN.symbols_to_ids(["SOD2"])
    assert mapping.mapped[0] not in mapping.moved["SOD2"]
    assert "ENSG00000112096" in mapping.moved["SOD2"]


def test_ids_lead_to_current_symbols_and_collisions_are_visible() -> None:
    mapping = HUMAN.ids_to_symbols(["ENSG00000004766.17", "ENSG00000015479", "ENSG00000280987", "ENSG99999999999"])
    assert mapping.mapped == ("VPS50", "MATR3", "MATR3", None)
    assert mapping.shared == {"MATR3": ["ENSG00000015479", "ENSG00000280987"]}


def test_share_of_nothing_is_undefined() -> None:
    assert np.isnan(HUMAN.symbols_to_ids([]).share)


def test_mapping_agrees_with_the_ids_that_cell_ranger_wrote(real_data: Path) -> None:
    var = var_of(real_data / "pbmc" / "pbmc3k.h5ad")
    mapping = HUMAN.symbols_to_ids(var.index)
    mapped = [(a, b) for a, b in zip(mapping.mapped, var["ensembl_id"], strict=True) if a is not None]
    assert len(mapped) > 0.88 * len(var)
    assert np.mean([a == b for a, b in mapped]) > 0.975


def test_gene_types_and_versions() -> None:
    assert HUMAN.gene_types(["ENSG00000075624.5", "ENSG99999999999"]) == ["protein_coding", None]
    assert strip_version("ENSG00000182162.11_PAR_Y") == "ENSG00000182162"
    assert strip_version("AT1G01010.1") == "AT1G01010"
    assert strip_version("RP11-34P13.7") == "RP11-34P13.7"


def test_human_mouse_pairs_hold_both_capitalisations() -> None:
    pairs = human_mouse_pairs()
    assert set(pairs.columns) == {"human_symbol", "mouse_symbol"}
    assert "Actb" in set(pairs["mouse_symbol"][pairs["human_symbol"] == "ACTB"])


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["ACTB", "RP11-34P13.7", "AC004381.6", "mt-Nd1", "0610007P14Rik"], "symbol"),
        (["ENSG00000211592", "ENSMUSG00000064341", "ENSGR0000182162"], "Ensembl id"),
        (["ENSG00000211592.7", "ENSG00000182162.11_PAR_Y"], "Ensembl id with version"),
        (["ENST00000456328.2", "ENST00000450305"], "Ensembl transcript"),
        (["AT1G01010", "ATMG00010", "AT5G67640.1"], "TAIR locus"),
        (["7157", "672", "1956"], "Entrez number"),
        (["0", "1", "2", "3"], "placeholder"),
        (["3", "1", "2"], "placeholder"),
        (["gene_00000", "gene_00001"], "placeholder"),
        (["AAACCTGAGAAACCAT-1", "s1_AAACCTGAGAAACCGC-1"], "cell barcode"),
        (["1-Mar", "2-Sep", "Sep-01"], "date"),
        (["ACTB", "ENSG00000211592"], "mixed"),
        ([], "none"),
    ],
)
def test_identifier_kind(names: list[str], kind: str) -> None:
    assert identifier_kind(names).kind == kind


@settings(deadline=None)
@given(st.lists(st.text(max_size=24), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_identifier_shares_add_up_and_ignore_order(names: list[str], random) -> None:
    first = identifier_kind(names)
    assert sum(first.shares.values()) == pytest.approx(1)
    shuffled = names.copy()
    random.shuffle(shuffled)
    assert identifier_kind(shuffled).shares == pytest.approx(first.shares)


@pytest.mark.parametrize(
    ("names", "species"),
    [
        (["ENSG00000211592.7"], "human"),
        (["ENSMUSG00000064341"], "mouse"),
        (["ENSRNOG00000030644", "Actb", "Gapdh"], "rat"),  # the rat's symbols look like the mouse's; its ids do not
        (["ENSDARG00000063895"], "zebrafish"),
        (["AT1G01010", "AT1G01020"], "Arabidopsis thaliana"),
        (["FBgn0000003"], "Drosophila melanogaster"),
        (["GRCh38_ACTB", "mm10_Actb", "GRCh38_GAPDH", "mm10_Gapdh"], "human and mouse"),
        (["ACTB", "GAPDH", "CD3E"], "human"),
        (["Actb", "Gapdh", "Cd3e"], "mouse"),
        (["gene_1", "gene_2", "gene_3"], "undetermined"),
        ([], "undetermined"),
    ],
)
def test_species(names: list[str], species: str) -> None:
    guess, evidence = guess_species(names)
    assert guess == species
    assert evidence


@pytest.mark.parametrize("name", SPECIES)
def test_species_of_real_data(name: str, real_data: Path) -> None:
    assert guess_species(var_of(real_data / f"{name}.h5ad").index).species == SPECIES[name]


def test_mitochondrial_by_symbol_locus_and_id() -> None:
    names = ["MT-CO1", "mt-Nd1", "ATMG00010", "ENSG00000198888.2", "ENSMUSG00000065947", "GRCh38_MT-ND1"]
    others = ["MTOR", "MT1X", "MTRNR2L1", "mtor", "AT1G01010", "ENSMUSG00000064362", "ENSG00000211592"]
    np.testing.assert_array_equal(mitochondrial(names + others), [True] * len(names) + [False] * len(others))


def test_the_mitochondrial_genome_has_37_genes(real_data: Path) -> None:
    assert mitochondrial(HUMAN.frame.index).sum() == 37
    var = var_of(real_data / "clustering" / "goolam_mouse_embryo.h5ad")
    assert mitochondrial(var["ensembl_id"]).sum() == 37


def test_immunoglobulin_genes_and_their_look_alikes() -> None:
    names = ["IGKC", "IGLC2", "IGHM", "IGLL5", "Igkc", "Ighm", "ENSG00000211592"]
    others = ["IGHMBP2", "IGLON5", "Ighmbp2", "Iglon5", "JCHAIN", "IGF1", "CD79A", "Igf1"]
    np.testing.assert_array_equal(immunoglobulin_genes(names + others), [True] * len(names) + [False] * len(others))


def test_reporters_are_found_and_no_real_gene_is_one() -> None:
    reporters = ["eGFP", "EGFP", "GFP", "EYFP", "tdTomato", "mCherry", "DsRed", "Cre", "CreERT2", "WPRE", "EGFP-bGH"]
    assert reporter_genes(reporters).all()
    genes = sorted(HUMAN.symbols | set(human_mouse_pairs()["mouse_symbol"]))
    assert not np.array(genes)[reporter_genes(genes)].size
