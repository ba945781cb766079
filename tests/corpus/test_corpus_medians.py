"""Non-zero medians: right, the same for any order and split, and refused where they would be wrong."""

from __future__ import annotations

import pickle
import sys
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.corpus import _exact, _portions
from corpuscle.corpus._histogram import BINS, RELATIVE_ERROR, GeneHistograms, bin_codes
from corpuscle.corpus.medians import Medians, medians, read_medians
from corpuscle.corpus.medians_io import write_medians
from corpuscle.corpus.qc import run_qc
from corpuscle.errors import GeneError, MethodError, NotCountsError, OptionError, OutputError, SourceError

#: The function of the same name hides the module.
medians_module = import_module("corpuscle.corpus.medians")
GOLDEN = Path(__file__).parent / "golden"
INPUT = GOLDEN / "input.h5ad"


@cache
def cells() -> ad.AnnData:
    return ad.read_h5ad(INPUT)


@cache
def golden() -> pd.DataFrame:
    return pd.read_csv(GOLDEN / "nonzero_medians.tsv.xz", sep="\t", index_col="ensembl_id").sort_index()


@cache
def of_golden(method: str) -> Medians:
    return medians(INPUT, method=method)


def ratio_to_exact(found: Medians) -> pd.Series:
    return pd.Series(found.medians_g, index=list(found.gene_ids)) / golden()["exact_median"]


def same(first: Medians, other: Medians) -> bool:
    return (
        first.gene_ids == other.gene_ids
        and np.array_equal(first.medians_g, other.medians_g)
        and np.array_equal(first.n_nonzero_g, other.n_nonzero_g)
    )


def parts(tmp_path: Path, *bounds: int) -> list[str]:
    paths = []
    for first, stop in pairwise(bounds):
        paths.append(str(tmp_path / f"cells_{first}.h5ad"))
        cells()[first:stop].write_h5ad(paths[-1])
    return paths


# -- the values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "bound"), [("exact", 1e-12), ("histogram", 2**-9), ("tdigest", 0.05)])
def test_golden_cells(method: str, bound: float) -> None:
    if method == "tdigest":
        pytest.importorskip("crick")
    found = of_golden(method)
    assert list(found.gene_ids) == list(golden().index)
    np.testing.assert_array_equal(found.n_nonzero_g, golden()["n_nonzero"])
    enough = golden()["n_nonzero"] >= (20 if method == "tdigest" else 1)
    assert (ratio_to_exact(found)[enough] - 1).abs().max() <= bound


def test_one_source_gives_the_very_digests_of_the_reference() -> None:
    pytest.importorskip("crick")
    np.testing.assert_allclose(of_golden("tdigest").medians_g, golden()["tdigest_single"], rtol=1e-12)


def test_digests_of_two_sources_are_merged_as_the_reference_merges_them(tmp_path: Path) -> None:
    pytest.importorskip("crick")
    found = medians(parts(tmp_path, 0, 100, 200), method="tdigest")
    ratio = pd.Series(found.medians_g, index=list(found.gene_ids)) / golden()["tdigest_merged_AB"]
    assert (ratio - 1).abs()[golden()["n_nonzero"] >= 20].max() < 0.05
    assert (ratio - 1).abs().median() < 1e-3


def test_without_crick_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crick", None)
    with pytest.raises(MethodError, match=r"corpuscle\[tdigest\]"):
        medians(INPUT, method="tdigest")


def tiny(counts: Any, genes: list[str] | None = None, **obs: Any) -> ad.AnnData:
    x_ng = sp.csr_matrix(np.asarray(counts, np.float32))
    index = pd.Index(genes or [f"ENSG0000000000{i}" for i in range(x_ng.shape[1])])
    table = pd.DataFrame(obs, index=[f"cell{i}" for i in range(x_ng.shape[0])])
    return ad.AnnData(x_ng, table, pd.DataFrame(index=index))


OWN = ["ENSG00000000003", "ENSG00000000419", "ENSG00000000457"]


def test_even_numbers_take_the_mean_of_the_middle_two() -> None:
    adata = tiny([[1, 9, 0], [2, 8, 0], [3, 7, 0], [4, 6, 5]], OWN, n_counts=[10.0, 10, 10, 20])
    exact = medians(adata, method="exact")
    assert exact.to_dict() == {OWN[0]: 2000.0, OWN[1]: 7500.0, OWN[2]: 2500.0}  # 1000, 2000, 3000, 2000
    assert list(exact.n_nonzero_g) == [4, 4, 1]
    np.testing.assert_allclose(medians(adata).medians_g, exact.medians_g, rtol=RELATIVE_ERROR)


def test_total_is_that_of_all_genes_not_only_of_those_taken() -> None:
    adata = tiny([[1, 1, 8]], [*OWN[:2], "ENSG00000243485"])
    assert medians(adata, method="exact", genes=OWN[:2], min_match=0.1).to_dict()[OWN[0]] == 1000.0
    adata.obs["n_counts"] = [100.0]
    assert medians(adata, method="exact", genes=OWN[:2], min_match=0.1).to_dict()[OWN[0]] == 100.0
    assert medians(adata, method="exact", genes=OWN[:2], min_match=0.1, depth="computed").to_dict()[OWN[0]] == 1000.0


@pytest.mark.parametrize("method", ["histogram", "exact"])
def test_columns_of_one_gene_are_added_up_first(method: str) -> None:
    twice = tiny([[1, 2, 7], [3, 0, 7]], [OWN[0] + ".1", OWN[0] + ".2", OWN[1]])
    once = tiny([[3, 7], [3, 7]], OWN[:2])
    found = medians(twice, method=method)
    assert same(found, medians(once, method=method))
    assert found.recipe["sources"][0]["match"]["summed"] == 1


def test_fractional_counts_are_taken_only_when_asked_for() -> None:
    adata = tiny([[0.5, 1.5], [1.0, 3.0]], OWN[:2])
    with pytest.raises(NotCountsError, match="fractional"):
        medians(adata)
    assert medians(adata, method="exact", allow_fractional=True).to_dict() == {OWN[0]: 2500.0, OWN[1]: 7500.0}


# -- the histograms -----------------------------------------------------------------------------------------------

VALUES = st.lists(st.tuples(st.integers(0, 600), st.floats(2**-17, 2**13)), min_size=1, max_size=80)


def histograms(items: list[tuple[int, float]]) -> GeneHistograms:
    """Each value in a cell of its own, whose depth of 10,000 makes the count the value."""
    out = GeneHistograms(601)
    genes, values = np.array([g for g, _ in items], np.int32), np.array([v for _, v in items], np.float64)
    csr = values, genes, np.arange(len(items) + 1, dtype=np.int64)
    out.update(csr, np.arange(601, dtype=np.int32), np.full(len(items), 10_000.0))
    return out


def equal(first: GeneHistograms, other: GeneHistograms) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first.finish(), other.finish(), strict=True)) and (
        pickle.dumps(first) == pickle.dumps(other)
    )


@settings(max_examples=60, deadline=None)
@given(VALUES, st.integers(0, 80), st.integers(0, 80), st.randoms(use_true_random=False))
def test_neither_order_nor_split_nor_the_way_of_merging_matters(
    items: list[tuple[int, float]], first: int, second: int, random: Any
) -> None:
    whole = histograms(items)
    shuffled = random.sample(items, len(items))
    low, high = sorted((min(first, len(items)), min(second, len(items))))
    a, b, c = (
        histograms(part) if part else GeneHistograms(601)
        for part in (shuffled[:low], shuffled[low:high], shuffled[high:])
    )
    left, right = a.copy(), b.copy()
    left.merge(b)
    left.merge(c)  # (a + b) + c
    right.merge(c)
    right.merge(a)  # (b + c) + a
    assert equal(left, whole)
    assert equal(right, whole)
    assert equal(pickle.loads(pickle.dumps(whole)), whole)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_medians_of_any_values_are_within_the_bound(items: list[tuple[int, float]]) -> None:
    medians_g, n_g = histograms(items).finish()
    values = pd.DataFrame(items, columns=["gene", "value"]).groupby("gene")["value"]
    assert (n_g[values.median().index] == values.size()).all()
    assert np.isnan(np.delete(medians_g, values.median().index)).all()
    np.testing.assert_allclose(medians_g[values.median().index], values.median(), rtol=RELATIVE_ERROR)


def test_bins_are_in_the_order_of_the_values_and_end_at_the_last() -> None:
    values = np.geomspace(2.0**-20, 2.0**16, 100_000)
    bins = bin_codes(values)
    assert (np.diff(bins) >= 0).all()
    assert (bins[0], bins[-1]) == (0, BINS - 1)
    assert np.unique(bins).size == BINS


def test_more_cells_than_a_counter_can_hold_are_refused() -> None:
    full, more = histograms([(0, 1.0)]), histograms([(0, 1.0)])
    full.n_cells = 2**32 - 1
    with pytest.raises(MethodError, match="cells"):
        full.merge(more)
    assert full.finish()[1][0] == 1


def test_histograms_of_other_genes_are_refused() -> None:
    with pytest.raises(MethodError, match="cannot be added up"):
        GeneHistograms(5).merge(GeneHistograms(6))


def test_memory_is_that_of_the_octaves_in_use() -> None:
    before = GeneHistograms(601).n_bytes
    one = histograms([(7, 1.5)] * 50)
    assert before < one.n_bytes <= before + 64 * 1024  # pages are made 64 at a time
    assert len(pickle.dumps(one)) < 2_000


# -- any split, any number of passes --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["histogram", "exact"])
def test_splitting_the_cells_over_files_changes_nothing(method: str, tmp_path: Path) -> None:
    paths = parts(tmp_path, 0, 3, 60, 200)
    assert same(medians(paths, method=method), of_golden(method))
    assert same(medians(paths[::-1], method=method), of_golden(method))


@pytest.mark.parametrize("method", ["histogram", "exact"])
def test_the_file_is_the_same_for_any_blocks_and_threads(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medians(INPUT, tmp_path / "a.tsv", method=method)
    monkeypatch.setattr(medians_module, "LOCAL_UNIT_CELLS", 64)
    monkeypatch.setattr("corpuscle.corpus._units.BLOCK_CELLS", 64)
    monkeypatch.setattr("corpuscle.counts._threads.n_threads", lambda: 5)
    medians(INPUT, tmp_path / "b.tsv", method=method)
    first, other = (read_medians(tmp_path / f"{name}.tsv") for name in "ab")
    assert same(first, other)
    assert (tmp_path / "a.tsv").read_bytes().split(b"\n", 1)[1] == (tmp_path / "b.tsv").read_bytes().split(b"\n", 1)[1]


def test_the_same_run_writes_the_same_bytes_and_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    for name in "ab":
        medians("input.h5ad", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert str(GOLDEN.parent) not in (tmp_path / "a").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_fingerprints_do_not_depend_on_the_other_sources(tmp_path: Path) -> None:
    paths = parts(tmp_path, 0, 3, 60)
    both = [medians(order).recipe["sources"] for order in (paths, paths[::-1])]
    prints = [{one["name"]: one["fingerprint"] for one in sources} for sources in both]
    assert prints[0] == prints[1]
    assert len(set(prints[0].values())) == 2


def test_exact_medians_in_many_passes_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0
    collect = _exact._collect

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal passes
        passes += 1
        return collect(*args, **kwargs)

    monkeypatch.setattr(_exact, "_collect", counted)
    monkeypatch.setattr(_exact.exact_medians, "__defaults__", (3_000,))
    assert same(medians(INPUT, method="exact"), of_golden("exact"))
    assert passes > 3


def test_a_source_that_changes_between_the_passes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    collect = _exact._collect

    def short(*args: Any, **kwargs: Any) -> Any:
        slots, values = collect(*args, **kwargs)
        return slots[1:], values[1:]

    monkeypatch.setattr(_exact, "_collect", short)
    with pytest.raises(SourceError, match="changed between two passes"):
        medians(INPUT, method="exact")


def test_a_cluster_gives_the_same_as_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The summaries go through pickle and a tree of merges, as they would from one process to another."""
    from contextlib import contextmanager

    from corpuscle.counts._workers import LocalWorkers

    class Remote(LocalWorkers):
        distributed = True

        def map(self, work: Any, items: Any) -> Any:
            for item in items:
                yield pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(work))(pickle.loads(pickle.dumps(item)))))

    @contextmanager
    def remote(scheduler: Any = None) -> Any:
        yield Remote()

    monkeypatch.setattr(medians_module, "workers", remote)
    monkeypatch.setattr(medians_module, "UNIT_CELLS", 32)
    for method in ("histogram", "exact"):
        assert same(medians(INPUT, method=method, scheduler="somewhere"), of_golden(method))
    with pytest.raises(OptionError, match="cannot be sent"):
        medians(cells(), scheduler="somewhere")


# -- which cells, which genes ---------------------------------------------------------------------------------------


def test_only_cells_of_the_filter_are_used() -> None:
    keep = cells().obs["golden_filter"].to_numpy() == 1
    found = medians(INPUT, filter="golden_filter", method="exact")
    assert same(found, medians(cells()[keep].copy(), method="exact"))
    assert not same(found, of_golden("exact"))
    record = found.recipe["sources"][0]
    assert (record["cells"], record["cells_total"], record["dropped"]["filter_pass"]) == (133, 200, 67)


def test_only_cells_that_pass_quality_control_are_used(tmp_path: Path) -> None:
    result = run_qc(str(INPUT), tmp_path / "qc", n_sd=1.0)
    assert 0 < result.n_kept < 200
    found = medians(INPUT, qc=tmp_path / "qc")
    assert found.recipe["cells"] == result.n_kept
    assert found.recipe["sources"][0]["dropped"]["qc"] == 200 - result.n_kept
    assert not same(found, of_golden("histogram"))


def test_a_wrong_total_of_a_cell_that_is_dropped_does_no_harm() -> None:
    adata = tiny([[1, 9], [2, 8]], OWN[:2], n_counts=[10.0, np.nan], use=[1, 0])
    assert medians(adata, method="exact", filter="use").to_dict() == {OWN[0]: 1000.0, OWN[1]: 9000.0}


@pytest.mark.parametrize("wrong", [0.0, np.nan, -3.0, 5.0, np.inf])
def test_a_wrong_total_names_the_cell(wrong: float, tmp_path: Path) -> None:
    adata = tiny([[1, 9], [2, 8], [3, 7]], OWN[:2], n_counts=[10.0, wrong, 10.0])
    with pytest.raises(NotCountsError, match=r"cell1 .*--depth computed") as caught:
        medians(adata, tmp_path / "m.tsv")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert len(medians(adata, depth="computed")) == 2


def test_no_cell_left() -> None:
    adata = tiny([[1, 9]], OWN[:2], use=[False])
    with pytest.raises(OptionError, match="none of the 1 cells is kept by the filter column 'use'"):
        medians(adata, filter="use")


def test_no_gene_seen() -> None:
    adata = tiny([[0, 0, 9], [1, 1, 9]], OWN, use=[1, 0])
    with pytest.raises(NotCountsError, match="no count in any of the 2 genes"):
        medians(adata, filter="use", genes=OWN[:2], min_match=0.0)


def test_biotypes_and_lists_of_genes(tmp_path: Path) -> None:
    only = medians(INPUT, biotypes=["protein_coding"])
    assert 0 < len(only) < len(of_golden("histogram"))
    assert set(only.gene_ids) < set(of_golden("histogram").gene_ids)
    everything = medians(INPUT, biotypes="all", min_match=0.0)
    assert set(everything.gene_ids) >= set(of_golden("histogram").gene_ids)
    with pytest.raises(OptionError, match="protien_coding"):
        medians(INPUT, biotypes=["protien_coding"])
    listed = tmp_path / "genes.txt"
    listed.write_text("# mine\n" + "\n".join(only.gene_ids[:500][::-1]) + "\n\n")
    few = medians(INPUT, genes=listed, min_match=0.0)
    assert few.gene_ids == only.gene_ids[:500]
    np.testing.assert_array_equal(few.medians_g, only.medians_g[:500])
    with pytest.raises(OptionError, match="twice"):
        medians(INPUT, genes=[OWN[0], OWN[0]])
    with pytest.raises(GeneError):
        medians(INPUT, genes=["ENSG00000099999"])


def test_published_genes_are_those_of_two_biotypes() -> None:
    from corpuscle.corpus._median_genes import BIOTYPES, target_genes

    ids, record = target_genes(BIOTYPES, None)
    assert len(ids) == record["n"] == 27_454
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    "options",
    [{"method": "mean"}, {"depth": "guess"}, {"min_match": 2.0}, {"symbols": "perhaps"}, {"filter": "nothing"}],
)
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        medians(INPUT, **options)


# -- the file -----------------------------------------------------------------------------------------------------


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    found = medians(INPUT, tmp_path / "m.tsv")
    again = read_medians(tmp_path / "m.tsv")
    assert same(found, again)
    assert again.recipe == found.recipe
    assert again.recipe["method"] == {"name": "histogram", "relative_error": 2**-9, "depends_on_split": False}
    assert again.recipe["sources"][0]["fingerprint"].startswith("xxh3:")
    table = pd.read_csv(tmp_path / "m.tsv", sep="\t", comment="#")
    assert list(table.columns) == ["id", "n_nonzero", "nonzero_median"]


def test_a_file_that_is_there_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "m.tsv"
    out.write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        medians(INPUT, out)
    assert out.read_text() == "mine"
    medians(INPUT, out, overwrite=True)
    assert len(read_medians(out)) == len(golden())
    with pytest.raises(OutputError, match="no folder"):
        medians(INPUT, tmp_path / "none" / "m.tsv")


def test_nothing_is_left_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_medians(of_golden("histogram"), tmp_path / "m.tsv")
    assert not list(tmp_path.iterdir())


def damaged(text: str) -> list[str]:
    lines = text.split("\n")
    return [
        "",
        "id\tnonzero_median\nENSG1\t2.0\n",
        "\n".join(["#corpuscle-medians {", *lines[1:]]),
        "\n".join([lines[0].replace("medians/1", "medians/9"), *lines[1:]]),
        "\n".join(lines[: len(lines) // 2]) + "\n",
        text[:-1],
        "\n".join([*lines[:3], lines[3].rsplit("\t", 1)[0] + "\tnan", *lines[4:]]),
        "\n".join([*lines[:3], lines[3].rsplit("\t", 1)[0] + "\t0.0", *lines[4:]]),
        "\n".join([*lines[:2], lines[3], lines[2], *lines[4:]]),
    ]


@pytest.mark.parametrize("case", range(9))
def test_damaged_files_are_refused(case: int, tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    write_medians(of_golden("histogram"), path)
    path.write_text(damaged(path.read_text())[case])
    with pytest.raises(SourceError) as caught:
        read_medians(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_units_hold_whole_portions() -> None:
    def portion(n: int) -> Any:
        piece = _portions.Piece(0, 0, n)
        return _portions.Portion(None, piece, None, False, None, "auto")  # type: ignore[arg-type]

    sizes = [[one.piece.n_obs for one in unit] for unit in _portions.pack([portion(n) for n in (3, 4, 0, 8, 1, 9)], 8)]
    assert sizes == [[3, 4, 0], [8], [1], [9]]
