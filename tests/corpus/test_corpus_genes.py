"""Which gene of the vocabulary each column of a file is."""

import json
import os
import pickle
from functools import cache
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.corpus.gene_plan import GeneOptions, check_match, plan_genes
from corpuscle.corpus.presets import resolve_vocabulary
from corpuscle.corpus.vocabulary_io import read_aliases
from corpuscle.counts.genes import GeneTable, human_mouse_pairs
from corpuscle.errors import GeneError, OptionError

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))


@cache
def genes():
    return resolve_vocabulary("geneformer-v1")[0].gene_ids


@cache
def golden():
    return anndata.read_h5ad(GOLDEN / "input.h5ad")


def table(index, **columns):
    return pd.DataFrame(columns, index=pd.Index(list(index), dtype=object))


def plan(var, gene_ids=None, **options):
    return plan_genes(var, genes() if gene_ids is None else gene_ids, GeneOptions(**options), source="cells.h5ad")


def reached(made, gene_ids=None):
    """Gene each column became, None for none."""
    gene_ids = genes() if gene_ids is None else gene_ids
    return [None if slot < 0 else gene_ids[slot] for slot in made.slot_f]


def refused(words, var, gene_ids=None, error=GeneError, **options):
    with pytest.raises(error, match=words) as caught:
        plan(var, gene_ids, **options)
    assert "\n" not in str(caught.value)


# -- real cells ----------------------------------------------------------------------------------------------------


def test_golden_ids_match_and_symbols_among_them_do_not():
    made = plan(golden().var)
    match = made.match
    assert (match.column, match.kind, match.species) == ("ensembl_id", "Ensembl id", "human")
    assert (match.n_genes, match.matched, match.unmatched, match.by["exact"]) == (18_873, 17_824, 1_049, 17_824)
    assert (made.collapses, match.summed, match.targets) == (False, 0, 17_824)
    assert match.unmatched_examples[0] == "CPSF3L"  # a symbol that the gene table does know
    assert made.slot_f.dtype == np.int32
    known = set(genes())
    expected = [gene if gene in known else None for gene in golden().var["ensembl_id"]]
    assert reached(made) == expected


def test_golden_aliases_collapse():
    aliases = read_aliases(GOLDEN / "alias_map.tsv")
    var = golden().var
    made = plan(var, column="ensembl_id_alias", aliases=aliases)
    assert made.collapses
    assert made.match.by["alias"] == 6
    assert made.match.summed == made.match.matched - made.match.targets == 6
    found = dict(zip(var["ensembl_id_alias"], reached(made), strict=True))
    assert {name: found[name] for name in aliases} == aliases
    assert not (plan(var, column="ensembl_id_alias").slot_f[var["ensembl_id_alias"].isin(aliases)] >= 0).any()


def test_symbols_of_real_cells_find_the_genes_their_ids_name():
    by_id, by_symbol = reached(plan(golden().var)), reached(plan(golden().var[["symbol"]]))
    both = [(a, b) for a, b in zip(by_id, by_symbol, strict=True) if a is not None]
    assert np.mean([a == b for a, b in both]) > 0.999
    match = plan(golden().var[["symbol"]]).match
    assert (match.column, match.kind) == ("index", "symbol")
    assert match.matched == match.by["symbol"] > 17_800
    assert match.matched + match.ambiguous + match.unmatched == match.n_genes


def test_symbols_always_and_never():
    always = plan(golden().var, symbols="always").match
    assert (always.by["exact"], always.by["symbol"] > 500) == (17_824, True)
    refused("none of its 18,873 genes.*looks like symbol.*let symbols be mapped", golden().var[[]], symbols="never")
    with pytest.raises(OptionError, match="'maybe' is none of auto, always, never"):
        GeneOptions(symbols="maybe")


@pytest.mark.parametrize(
    ("file", "share"),
    [("pbmc/pbmc3k.h5ad", 0.8), ("coregulation/pbmc_1k_v2.h5ad", 0.8)],
)
def test_files_as_people_have_them(file, share):
    path = SHARED / file
    if not path.exists():
        pytest.skip(f"needs {file} of the shared data (CORPUSCLE_DATA)")
    from corpuscle.counts import open_counts

    with open_counts(path) as counts:
        made = plan(counts.var)
        block = next(counts.blocks(256))
        assert check_match(made, block.x_ng, 0.5, source=counts.name) > share
        assert made.match.species == "human"


# -- one attempt after the other -----------------------------------------------------------------------------------

A, B, C = "ENSG00000000003", "ENSG00000000005", "ENSG00000000419"


def test_versions_letters_and_spaces():
    made = plan(table([f"{A}.15", B.lower(), f" {C} ", f"{C.lower()}.3", "ENSG99999999999"]))
    assert reached(made) == [A, B, C, C, None]
    assert made.match.by == {"exact": 1, "version": 1, "case": 2, "alias": 0, "symbol": 0, "ortholog": 0}
    assert (made.collapses, made.match.summed, made.match.targets) == (True, 1, 3)


def test_pseudoautosomal_copies():
    x, y = "ENSG00000182378", "ENSGR0000182378"
    assert y in genes()
    made = plan(table([x, f"{x}.15_PAR_Y", f"{x}_PAR_Y", y, f"{y}.6"]))
    assert reached(made) == [x, x, x, y, y]


def test_duplicates_are_one_gene():
    made = plan(table([A, A, B, A.lower()]))
    assert reached(made) == [A, A, B, A]
    assert (made.collapses, made.match.summed) == (True, 2)


def test_aliases_come_first_in_any_letters_and_without_version():
    made = plan(table([A, "old", "OLD2.x", "ENSG09999999999.4", B]), aliases={
        A: C, "OLD": A, "OLD2.X": B, "ENSG09999999999": C, "unused": "ENSG00000000001", B: B,
    })  # fmt: skip
    assert reached(made) == [C, A, B, C, B]
    assert (made.match.by["alias"], made.match.by["exact"]) == (4, 1)


def test_aliases_that_lead_nowhere_are_a_mistake():
    refused("no alias leads to a gene of the vocabulary: x to y", table([A]), error=OptionError, aliases={"x": "y"})


def test_missing_and_odd_names_are_no_genes():
    var = table(range(5), ensembl_id=pd.Categorical([A, None, "", "nan", B]))
    made = plan(var, column="ensembl_id")
    assert reached(made) == [A, None, None, None, B]
    assert made.match.unmatched_examples == ("nan",)


# -- which column --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["ensembl_id", "gene_ids", "Gene_ID", "feature_id", "ENSEMBL"])
def test_a_column_of_ids_is_found(column):
    made = plan(table(["TSPAN6", "TNMD", "DPM1"], **{column: [A, B, C]}))
    assert (made.match.column, reached(made)) == (column, [A, B, C])


def test_a_column_that_only_sounds_like_ids_is_passed_over():
    made = plan(table([A, B, C], gene_ids=["TSPAN6", "TNMD", "DPM1"], id=["7105", "64102", "8813"]))
    assert (made.match.column, reached(made)) == ("index", [A, B, C])


def test_symbols_beside_numbers():
    made = plan(table(["0", "1", "2"], gene_symbols=["TSPAN6", "TNMD", "DPM1"]))
    assert (made.match.column, reached(made)) == ("gene_symbols", [A, B, C])


def test_the_column_asked_for_is_used_and_must_be_there():
    var = table([A, B, C], gene_ids=[B, C, A], other=[C, A, B])
    assert reached(plan(var)) == [B, C, A]
    assert reached(plan(var, column="other")) == [C, A, B]
    assert reached(plan(var, column="index")) == [A, B, C]
    refused("no column 'ids'; it has: gene_ids, other", var, error=OptionError, column="ids")


# -- symbols -------------------------------------------------------------------------------------------------------


def test_older_symbols_other_letters_and_ambiguous_ones():
    names = ["TSPAN6", "TNMD", "dpm1", "C1ORF112", "MATR3", "SOD2", "NOTAGENE"]
    made = plan(table(names))
    found = dict(zip(names, reached(made), strict=True))
    assert (found["TSPAN6"], found["TNMD"], found["dpm1"]) == (A, B, C)
    assert found["C1ORF112"] == "ENSG00000000460"  # C1orf112 until it became FIRRM
    assert found["SOD2"] == "ENSG00000112096"  # the id it had when the vocabulary was made
    assert found["MATR3"] is None  # two genes of the vocabulary bear it
    assert (made.match.ambiguous, made.match.unmatched, made.match.by["symbol"]) == (1, 1, 5)


def test_mouse_spelling_is_not_another_letter_case_of_a_human_symbol():
    mouse = ["Actb", "Gapdh", "Cd3e", "Ms4a1", "Lyz2", "Xist"]
    refused("these are mouse genes.*--orthologs", table(mouse))


# -- species -------------------------------------------------------------------------------------------------------


def test_mouse_symbols_need_to_be_asked_for():
    pairs = human_mouse_pairs()
    mouse = sorted(set(pairs["mouse_symbol"]))[:6000]
    refused("cells.h5ad: these are mouse genes .* the vocabulary is human; ask for human orthologs", table(mouse))
    made = plan(table(mouse), orthologs=True)
    assert made.match.by["ortholog"] == made.match.matched > 4000
    assert made.match.ambiguous > 100
    assert made.match.matched + made.match.ambiguous + made.match.unmatched == 6000


def test_orthologs_are_the_clear_pairs():
    names = ["Actb", "Gapdh", "Cd3e", "Ms4a1", "Ccl3", "Hba-a1", "Nosuch1"]
    made = plan(table(names), orthologs=True)
    symbols = GeneTable.human().ids_to_symbols([gene for gene in reached(made) if gene]).mapped
    assert list(symbols) == ["ACTB", "GAPDH", "CD3E", "MS4A1", "CCL3"]  # CCL3: of several partners, the namesake
    assert (made.match.ambiguous, made.match.unmatched) == (1, 1)  # Hba-a1 is HBA1 and HBA2


def test_mouse_ids_take_their_symbols_from_beside_them():
    ids = [f"ENSMUSG{i:011d}" for i in range(4)]
    var = table(["Actb", "Gapdh", "Cd3e", "Ms4a1"], gene_ids=ids)
    refused("these are mouse genes", var)
    assert plan(var, orthologs=True).match.by["ortholog"] == 4
    refused("gene table has Ensembl ids only; add a column", var.set_index("gene_ids"), orthologs=True)


def test_asking_for_orthologs_of_human_data_changes_nothing():
    plain, asked = plan(golden().var), plan(golden().var, orthologs=True)
    np.testing.assert_array_equal(plain.slot_f, asked.slot_f)


@pytest.mark.parametrize(
    ("form", "species"),
    [("ENSRNOG{:011d}", "rat"), ("AT1G{:05d}", "Arabidopsis thaliana"), ("FBgn{:07d}", "Drosophila melanogaster")],
)
def test_other_species_are_named(form, species):
    var = table([form.format(i) for i in range(50)])
    refused(f"these are {species} genes.*give human data", var)
    refused(f"these are {species} genes.*give human data", var, orthologs=True)


def test_two_species_in_one_file():
    both = [*genes()[:500], *(f"ENSMUSG{i:011d}" for i in range(800))]
    refused("mouse and human genes.*keep the human genes and cells alone", table(both), orthologs=True)


def test_a_map_of_ones_own_decides_over_the_species():
    ids = [f"ENSMUSG{i:011d}" for i in range(40)]
    made = plan(table(ids), aliases=dict(zip(ids[:15], genes(), strict=False)))
    assert made.match.by["alias"] == 15


def test_vocabularies_of_other_species_and_of_symbols():
    mouse = [f"ENSMUSG{i:011d}" for i in range(100)]
    assert plan(table([*mouse[:30], "ENSMUSG99999999999.2"]), mouse).match.matched == 30
    refused("these are human genes.*the vocabulary is mouse", table(genes()[:100]), mouse)
    human = [name for name in golden().var["symbol"][3000:3300] if name]
    made = plan(
        table((name.lower() if name == human[0] else name.upper() for name in human), gene_ids=genes()[:300]), human
    )
    assert (made.match.column, reached(made, human)) == ("index", human)
    assert reached(plan(table(["Actb", "GAPDH"]), ["ACTB", "GAPDH"]), ["ACTB", "GAPDH"]) == [None, "GAPDH"]


# -- nothing found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"gene_{i}" for i in range(30)], "looks like placeholder.*lost its gene names"),
        ([str(i) for i in range(30)], "looks like placeholder.*lost its gene names"),
        ([str(7100 + 13 * i) for i in range(30)], "looks like Entrez number.*map them to Ensembl gene ids"),
        ([f"ENST{i:011d}" for i in range(30)], "looks like Ensembl transcript.*map them"),
        (["ACGTACGTACGTACGT-1", "ACGTTCGTACGTACGT-1", "TCGTTCGTACGTACGT-1"], "cell barcode.*transpose"),
        (["qqq1", "qqq2", "qqq3"], r"looks like symbol.*\(qqq1, qqq2, qqq3\).*--gene-column"),
        ([], "none of its 0 genes"),
    ],
)
def test_nothing_found_says_what_the_names_look_like(names, words):
    refused(words, table(names))


def test_too_little_found():
    made = plan(table([A, B, "X1", "X2"]))
    x_nf = sp.csr_matrix([[1, 1, 0, 0], [0, 0, 3, 3]])
    assert check_match(made, x_nf, 0.25, source="f") == 0.25
    with pytest.raises(GeneError, match=r"f: only 25.0% of the counts.*below 50%.*2 of 4 genes.*X1, X2.*--min-match"):
        check_match(made, x_nf, 0.5, source="f")
    assert np.isnan(check_match(made, sp.csr_matrix((3, 4)), 0.5, source="f"))
    assert check_match(made, x_nf, 0, source="f") == 0.25
    with pytest.raises(OptionError, match="from 0 to 1, not 50"):
        check_match(made, x_nf, 50, source="f")


def test_golden_counts_lie_in_the_vocabulary():
    assert check_match(plan(golden().var), golden().X, 0.5, source="golden") == pytest.approx(0.8642809300400895)


# -- the plan ------------------------------------------------------------------------------------------------------

NAMES = [A, f"{A}.3", B, B.lower(), C, "TSPAN6", "X1", "ENSG00000000000", "", "OLD"]


@settings(deadline=None, max_examples=80)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=25), st.randoms())
def test_the_report_adds_up_and_order_does_not_matter(names, random):
    names = [A, *names]
    options = {"aliases": {"OLD": C}, "symbols": "never"}
    made = plan(table(names), **options)
    match = made.match
    assert match.matched == sum(match.by.values()) == (made.slot_f >= 0).sum()
    assert match.matched + match.ambiguous + match.unmatched == match.n_genes == len(names)
    assert match.targets == np.unique(made.slot_f[made.slot_f >= 0]).size
    assert made.collapses == (match.summed > 0) == (match.matched > match.targets)
    shuffled = list(range(len(names)))
    random.shuffle(shuffled)
    other = plan(table(names[i] for i in shuffled), **options)
    np.testing.assert_array_equal(other.slot_f, made.slot_f[shuffled])


def test_the_report_is_json_and_the_plan_travels():
    made = plan(golden().var)
    assert json.loads(json.dumps(made.match.to_dict())) == made.match.to_dict()
    assert set(made.match.to_dict()) >= {"column", "kind", "species", "by", "summed", "unmatched_examples", "targets"}
    back = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(back.slot_f, made.slot_f)
    assert back.match == made.match
