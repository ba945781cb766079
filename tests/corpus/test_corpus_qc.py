"""Quality control of cells: what is kept, why not, and that the answer does not depend on how the cells are cut."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.cli._app import main
from corpuscle.corpus import qc as qc_module
from corpuscle.corpus._moments import Moments, fixed
from corpuscle.corpus._units import SourceSpec
from corpuscle.corpus.qc import read_qc, run_qc
from corpuscle.counts import open_counts
from corpuscle.counts.genes import GeneTable
from corpuscle.datasets import bundled_path
from corpuscle.errors import GeneError, NotCountsError, OptionError, OutputError, SourceError

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
#: Twelve protein-coding nuclear genes, two mitochondrial ones, and one of another type.
CODING = ["ACTB", "GAPDH", "CD3E", "CD4", "CD8A", "MS4A1", "NKG7", "LYZ", "GNLY", "CD14", "FCER1A", "TP53"]
MITO = ["MT-CO1", "MT-ND1"]
OTHER = ["MALAT1"]
GENES = CODING + MITO + OTHER


@pytest.fixture(scope="module")
def pbmc() -> ad.AnnData:
    return ad.read_h5ad(bundled_path("pbmc_1k_v2"))


def make(path: Path, rows: list[dict[str, float]], obs: dict | None = None, genes=GENES, **kwargs) -> Path:
    """Write cells given as gene -> count."""
    x_ng = np.array([[row.get(gene, 0) for gene in genes] for row in rows], np.float64).reshape(len(rows), len(genes))
    names = [f"cell{i}" for i in range(len(rows))]
    data = ad.AnnData(
        sp.csr_matrix(x_ng), pd.DataFrame(obs or {}, index=names), pd.DataFrame(index=list(genes)), **kwargs
    )
    data.write_h5ad(path)
    return path


def cell(total: int = 100, mito: int = 5, coding: int = 10) -> dict[str, float]:
    """A cell of this total, so many mitochondrial reads, and so many detected coding genes."""
    out: dict[str, float] = dict.fromkeys(CODING[:coding], 1.0) | {"MT-CO1": float(mito)}
    out["MALAT1"] = float(total - mito - coding)
    return out


def crowd(n: int = 40) -> list[dict[str, float]]:
    return [cell(100 + i % 5, 5 + i % 3) for i in range(n)]


def reasons(folder: Path, place: int = 0) -> pd.Series:
    return pq.read_table(folder / f"cells-{place:05d}.parquet").to_pandas().set_index("cell")["reason"].astype(str)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# -- against plain NumPy on real cells ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"mito_metric": "fraction"}, {"n_sd": 1.5, "ddof": 1}, {"mito": False}, {"total": False}]
)
def test_kept_cells_are_those_of_the_formula(pbmc, tmp_path, options):
    x_ng = pbmc.X.toarray().astype(np.int64)
    total = x_ng.sum(1)
    mito = x_ng[:, pbmc.var_names.str.startswith("MT-")].sum(1)
    metrics = {"total": total, "mito": mito / total if options.get("mito_metric") == "fraction" else mito}
    expected = np.ones(total.size, bool)
    for name, values in metrics.items():
        if options.get(name, True):
            spread = options.get("n_sd", 3) * values.std(ddof=options.get("ddof", 0))
            expected &= np.abs(values - values.mean()) <= spread

    result = run_qc(bundled_path("pbmc_1k_v2"), tmp_path / "qc", **options)

    table = pq.read_table(tmp_path / "qc" / "cells-00000.parquet").to_pandas()
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(table["keep"], expected)
    np.testing.assert_array_equal(table["total"], total)
    np.testing.assert_array_equal(table["mito"], mito)
    assert list(table["cell"]) == list(pbmc.obs_names)
    assert ((table["reason"].astype(str) == "") == table["keep"]).all()
    row = result.table.iloc[0]
    assert row["total_mean"] == pytest.approx(total.mean(), rel=1e-14)
    assert row["mito_sd"] == pytest.approx(metrics["mito"].std(ddof=options.get("ddof", 0)), rel=1e-9)


def test_detected_genes_are_of_the_biotypes(pbmc, tmp_path):
    table = GeneTable.human()
    types = np.array(table.gene_types(name or "" for name in table.symbols_to_ids(pbmc.var_names).mapped))
    coding = np.isin(types, ["protein_coding"])
    n_genes = (pbmc.X.toarray()[:, coding] > 0).sum(1)
    floor = int(np.quantile(n_genes, 0.1))

    run_qc(
        bundled_path("pbmc_1k_v2"),
        tmp_path / "qc",
        total=False,
        mito=False,
        biotypes=["protein_coding"],
        min_genes=floor,
    )

    got = pq.read_table(tmp_path / "qc" / "cells-00000.parquet").to_pandas()
    # The matcher knows a few more aliases than this table; no cell may differ by more than a percent.
    assert np.abs(got["n_genes"] - n_genes).max() <= 0.01 * n_genes.max()
    np.testing.assert_array_equal(got["keep"], got["n_genes"] >= floor)
    assert set(got["reason"].astype(str)) == {"", f"fewer than {floor} protein_coding genes"}


def test_what_the_bundled_sets_lose(tmp_path):
    names = ["pbmc_1k_v2", "pbmc_1k_v3", "pbmc_8k_5p_1kcells"]
    result = run_qc([bundled_path(name) for name in names], tmp_path / "qc")
    assert list(result.table["kept"]) == [965, 895, 988]
    assert (result.n_cells, result.n_kept, result.notes) == (2902, 2848, [])


@pytest.mark.skipif(not (DATA / "pbmc" / "pbmc_hashing_8donors.h5ad").exists(), reason="no CORPUSCLE_DATA")
def test_each_donor_is_its_own_data_set(tmp_path):
    path = DATA / "pbmc" / "pbmc_hashing_8donors.h5ad"
    data = ad.read_h5ad(path)
    total = np.asarray(data.X.sum(1)).ravel()
    result = run_qc(path, tmp_path / "qc", by="batch", mito=False, min_genes=0)
    rows = result.table.set_index("dataset")
    for donor, cells in data.obs.groupby("batch", observed=True).indices.items():
        values = total[cells]
        low, high = values.mean() - 3 * values.std(), values.mean() + 3 * values.std()
        assert rows.loc[str(donor), "kept"] == ((values >= low) & (values <= high)).sum()
    assert len(rows) == 8


# -- the moments ----------------------------------------------------------------------------------------------------

numbers = st.one_of(st.integers(0, 10**9).map(float), st.floats(0, 1e6), st.sampled_from([0.0, 0.1, 1 / 3]))


@settings(max_examples=100, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=40), st.randoms(use_true_random=False), st.sampled_from([0, 1]))
def test_moments_do_not_depend_on_order_or_split(values, rng: random.Random, ddof):
    whole = Moments.of(np.array(values))
    shuffled = rng.sample(values, len(values))
    bounds = sorted(rng.randrange(len(values) + 1) for _ in range(3))
    parts = [Moments.of(np.array(part)) for part in np.split(np.array(shuffled), bounds)]
    rng.shuffle(parts)
    assert Moments.merged(parts) == whole

    limits, exact = whole.limits(1.5, ddof), [Fraction(float(value)) for value in fixed(np.array(values))]
    if len(values) <= ddof:
        assert np.isnan(limits.sd)
        assert (limits.low, limits.high) == (-np.inf, np.inf)
        return
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / (len(exact) - ddof)
    for value, raw in zip(exact, fixed(np.array(values)), strict=True):
        assert (limits.low <= raw <= limits.high) == ((value - mean) ** 2 <= Fraction(1.5) ** 2 * variance)


def test_a_cell_on_the_limit_is_kept():
    # One of ten values that differs is exactly 3 SD off, whatever it is; floats would lose some of these.
    for odd in (0.7, 0.1, 3.0, 7.0, 11.0, 1 / 3):
        values = np.array([0.0] * 9 + [odd])
        assert Moments.of(values).limits(3).high >= fixed(values)[9]
    assert Moments.of(np.array([1 / 3] * 7)).limits(3).sd == 0


# -- the answer does not depend on how the cells are stored or cut --------------------------------------------------


def test_layout_and_units_do_not_matter(pbmc, tmp_path, monkeypatch):
    whole = run_qc(bundled_path("pbmc_1k_v2"), tmp_path / "whole")
    monkeypatch.setattr(qc_module, "UNIT_CELLS", 100)
    other = pbmc.copy()
    other.X = other.X.tocsc()
    other.write_h5ad(tmp_path / "pbmc.h5ad")
    parts = run_qc(tmp_path / "pbmc.h5ad", tmp_path / "parts")
    memory = run_qc(pbmc, tmp_path / "memory")
    for one in (parts, memory):
        pd.testing.assert_frame_equal(one.table.drop(columns="dataset"), whole.table.drop(columns="dataset"))
        pd.testing.assert_series_equal(reasons(one.folder), reasons(whole.folder))


def test_the_fingerprint_is_of_the_counts_and_not_of_the_file(pbmc, tmp_path):
    other = pbmc.copy()
    other.X = other.X.tocsc()
    other.write_h5ad(tmp_path / "a.h5ad")
    changed = pbmc.copy()
    changed.X.data[7] += 1
    results = [run_qc(one, tmp_path / f"qc{i}") for i, one in enumerate((pbmc, tmp_path / "a.h5ad", changed))]
    first, same, differs = (one.record["sources"][0]["fingerprint"] for one in results)
    assert first == same != differs


def test_a_data_set_in_two_files_is_judged_as_one(pbmc, tmp_path):
    pbmc = pbmc.copy()
    pbmc.obs["study"] = "one"
    rng = np.random.default_rng(0)
    order = rng.permutation(pbmc.n_obs)
    pbmc[order[:300]].copy().write_h5ad(tmp_path / "a.h5ad")
    pbmc[order[300:]].copy().write_h5ad(tmp_path / "b.h5ad")
    whole = run_qc(bundled_path("pbmc_1k_v2"), tmp_path / "whole")
    cut = run_qc([tmp_path / "b.h5ad", tmp_path / "a.h5ad"], tmp_path / "cut", by="study")
    both = pd.concat([reasons(cut.folder, 0), reasons(cut.folder, 1)])
    expected = reasons(whole.folder)
    pd.testing.assert_series_equal(both.loc[expected.index], expected)
    assert cut.table["total_sd"].tolist() == whole.table["total_sd"].tolist()
    assert any("in 2 sources" in note for note in cut.notes)


def test_units_travel_to_another_process_and_back(tmp_path, monkeypatch):
    class Elsewhere:
        distributed = True

        def map(self, work, items):
            work = pickle.loads(pickle.dumps(work))
            for item in items:
                yield pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(item)))))

    @contextmanager
    def elsewhere(scheduler=None):
        yield Elsewhere()

    here = run_qc(bundled_path("pbmc_1k_v3"), tmp_path / "here")
    monkeypatch.setattr(qc_module, "workers", elsewhere)
    there = run_qc(bundled_path("pbmc_1k_v3"), tmp_path / "there", scheduler="tcp://x:1")
    for name in left(here.folder):
        assert (here.folder / name).read_bytes() == (there.folder / name).read_bytes()
    with pytest.raises(OptionError, match="write it to a file"):
        run_qc(ad.read_h5ad(bundled_path("pbmc_1k_v3")), tmp_path / "no", scheduler="tcp://x:1")


# -- every reason ---------------------------------------------------------------------------------------------------


def test_every_reason_is_told(tmp_path):
    odd = [
        cell(900, 5),
        cell(102, 60),
        cell(100, 5, coding=5),
        {},
        {"MT-CO1": 95.0, "MT-ND1": 800.0, "ACTB": 5.0},
    ]
    ok = [True] * 45
    ok[0] = False
    sets = ["a"] * 44 + [None]
    path = make(tmp_path / "x.h5ad", crowd() + odd, {"ok": ok, "set": sets})
    result = run_qc(path, tmp_path / "qc", by="set", filter="ok", n_sd=2)
    why = reasons(tmp_path / "qc")
    assert why["cell0"] == "left out by ok"
    assert why["cell1"] == ""
    assert why["cell40"] == "total above mean + 2 SD"
    assert why["cell41"] == "mitochondrial reads above mean + 2 SD"
    assert why["cell42"] == "fewer than 7 protein_coding or miRNA genes"
    assert why["cell43"] == "empty"
    assert why["cell44"] == "no value of set"
    row = result.table.set_index("dataset").loc["a"]
    assert row["total_cells"] == 43  # neither the cell left out nor the one without a data set, but the empty one
    assert row["cells"] == row["kept"] + row["dropped"] == 44
    counted = {name: row[f"dropped_{name}"] for name in ("filter", "empty", "total_high", "mito_high", "few_genes")}
    assert counted == dict.fromkeys(counted, 1)
    assert any("1 cells have no value of set" in note for note in result.notes)


def test_both_ends_and_several_reasons(tmp_path):
    low = {"ACTB": 1.0}
    both = cell(900, 800)
    path = make(tmp_path / "x.h5ad", [cell(100 + i % 2, 20 + i % 2) for i in range(60)] + [low])
    run_qc(path, tmp_path / "low")
    assert reasons(tmp_path / "low")["cell60"] == (
        "total below mean - 3 SD; mitochondrial reads below mean - 3 SD; fewer than 7 protein_coding or miRNA genes"
    )
    path = make(tmp_path / "y.h5ad", [*crowd(), both])
    run_qc(path, tmp_path / "high")
    assert reasons(tmp_path / "high")["cell40"] == "total above mean + 3 SD; mitochondrial reads above mean + 3 SD"


def test_filters_can_be_turned_off(tmp_path):
    path = make(tmp_path / "x.h5ad", [*crowd(), cell(9000, 5), cell(100, 80), cell(100, 5, 2)])
    result = run_qc(path, tmp_path / "qc", total=False, mito=False, min_genes=0)
    assert result.n_kept == 43
    assert np.isnan(result.table["total_high"]).all()


def test_left_out_cells_enter_no_mean(tmp_path):
    path = make(tmp_path / "x.h5ad", [*crowd(), cell(9000)], {"filter_pass": [1] * 40 + [0]})
    row = run_qc(path, tmp_path / "qc", filter="filter_pass").table.iloc[0]
    assert row["total_mean"] == pytest.approx(102)
    with pytest.raises(OptionError, match="no obs column 'good'"):
        run_qc(path, tmp_path / "no", filter="good")


def test_columns_of_one_gene_are_one_gene(tmp_path):
    genes = ["ENSG00000075624", "ENSG00000075624.17", "ENSG00000111640", "MT-CO1"]
    path = make(tmp_path / "x.h5ad", [dict.fromkeys(genes, 2.0), {genes[1]: 3.0, "MT-CO1": 1.0}], genes=genes)
    run_qc(path, tmp_path / "qc", min_genes=0)
    table = pq.read_table(tmp_path / "qc" / "cells-00000.parquet").to_pandas()
    assert table["n_genes"].tolist() == [2, 1]


def test_numbers_as_data_sets_and_unused_categories(tmp_path):
    path = make(tmp_path / "x.h5ad", crowd(), {"set": [1.0, 2.0] * 20})
    assert list(run_qc(path, tmp_path / "float", by="set").table["dataset"]) == ["1", "2"]
    sets = pd.Categorical(["b", "a"] * 20, categories=["z", "a", "b"])
    path = make(tmp_path / "y.h5ad", crowd(), {"set": sets})
    assert list(run_qc(path, tmp_path / "cats", by="set").table["dataset"]) == ["b", "a"]
    with pytest.raises(OptionError, match="no obs column 'donor' that names data sets; it has: set"):
        run_qc(path, tmp_path / "no", by="donor")


# -- mitochondrial genes --------------------------------------------------------------------------------------------


def test_without_mitochondrial_genes_that_filter_passes_and_says_so(tmp_path):
    genes = CODING + OTHER
    path = make(tmp_path / "x.h5ad", crowd(), genes=genes)
    result = run_qc(path, tmp_path / "qc", mito_metric="fraction")
    assert result.n_kept == 40
    assert any("no mitochondrial gene" in note for note in result.notes)
    row = result.table.iloc[0]
    assert row["mito_cells"] == 0 and np.isnan(row["mito_mean"])
    table = pq.read_table(tmp_path / "qc" / "cells-00000.parquet")
    assert table["mito"].null_count == 40
    assert table.schema.field("mito").type == "int64"


def test_mitochondrial_genes_of_ones_own(tmp_path):
    path = make(tmp_path / "x.h5ad", crowd())
    run_qc(path, tmp_path / "qc", mito_genes=["malat1", "ENSG00000075624.3"])
    table = pq.read_table(tmp_path / "qc" / "cells-00000.parquet").to_pandas()
    assert table["mito"].iloc[0] == 100 - 5 - 10
    with pytest.raises(GeneError, match="none of the 1 mitochondrial genes given"):
        run_qc(path, tmp_path / "no", mito_genes=["mt-nothing"])


def test_mitochondrial_genes_by_ensembl_id(pbmc, tmp_path):
    by_symbol = run_qc(pbmc, tmp_path / "symbol").table
    other = pbmc.copy()
    ids = GeneTable.human().symbols_to_ids(other.var_names).mapped
    other.var_names = [f"{name}.1" if name else f"x{i}" for i, name in enumerate(ids)]
    by_id = run_qc(other, tmp_path / "id").table
    assert by_id["mito_mean"].tolist() == by_symbol["mito_mean"].tolist()


# -- small, empty and wrong input -----------------------------------------------------------------------------------


def test_one_cell(tmp_path):
    path = make(tmp_path / "x.h5ad", [cell()])
    result = run_qc(path, tmp_path / "qc")
    assert (result.n_kept, result.table["total_sd"][0]) == (1, 0)
    assert any("none of 1 cells can be more than 3 SD off" in note for note in result.notes)
    result = run_qc(path, tmp_path / "sample", ddof=1)
    assert result.n_kept == 1
    assert np.isnan(result.table["total_sd"][0])
    assert any("undefined with ddof 1" in note for note in result.notes)


def test_no_cells(tmp_path):
    none = make(tmp_path / "none.h5ad", [])
    some = make(tmp_path / "some.h5ad", crowd())
    for sources in (none, [some, none]):
        with pytest.raises(SourceError, match=r"none\.h5ad: there are no cells"):
            run_qc(sources, tmp_path / "qc")
    assert left(tmp_path) == {"none.h5ad", "some.h5ad"}


def test_equal_cells_are_all_kept(tmp_path):
    path = make(tmp_path / "x.h5ad", [cell(97, 3)] * 12)
    assert run_qc(path, tmp_path / "qc", mito_metric="fraction").n_kept == 12


def test_every_cell_empty_is_no_counts(tmp_path):
    path = make(tmp_path / "x.h5ad", [{}, {}])
    with pytest.raises(NotCountsError, match="every value is zero"):
        run_qc(path, tmp_path / "qc")


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, np.inf])
def test_what_is_no_count_is_refused_in_one_line_and_nothing_is_written(tmp_path, value, capfd):
    rows = crowd(400)
    rows[350]["CD4"] = value
    path = make(tmp_path / "x.h5ad", rows)
    before = left(tmp_path)
    assert main(["corpus", "qc", str(path), "-o", str(tmp_path / "qc")]) == 2
    line = capfd.readouterr().err
    assert line.count("\n") == 1
    assert "cell350" in line and "CD4" in line and str(path) in line
    assert left(tmp_path) == before


def test_fractional_counts_on_request(tmp_path):
    rows = [{gene: count * 1.5 for gene, count in row.items()} for row in crowd()]
    path = make(tmp_path / "x.h5ad", rows)
    result = run_qc(path, tmp_path / "qc", allow_fractional=True)
    assert result.table["total_mean"][0] == pytest.approx(1.5 * 102)
    with open_counts(path, check=False) as counts:
        assert result.open().keep(SourceSpec(str(path), None, True), counts).all()


def test_a_truncated_file_among_good_ones(tmp_path):
    good = make(tmp_path / "a.h5ad", crowd())
    shutil.copy(bundled_path("pbmc_1k_v2"), tmp_path / "b.h5ad")
    with (tmp_path / "b.h5ad").open("r+b") as file:
        file.truncate(900_000)
    before = left(tmp_path)
    with pytest.raises(SourceError, match=r"b\.h5ad"):
        run_qc([good, tmp_path / "b.h5ad"], tmp_path / "qc")
    assert left(tmp_path) == before


def test_genes_of_no_biotype(tmp_path):
    genes = [f"gene_{i}" for i in range(20)]
    path = make(tmp_path / "x.h5ad", [dict.fromkeys(genes, float(i + 1)) for i in range(5)], genes=genes)
    with pytest.raises(GeneError, match=r"x\.h5ad.*--biotypes all"):
        run_qc(path, tmp_path / "qc")
    assert run_qc(path, tmp_path / "qc", biotypes="all", mito=False).n_kept == 5


@pytest.mark.parametrize(
    "options",
    [{"n_sd": 0}, {"n_sd": float("nan")}, {"ddof": -1}, {"mito_metric": "share"}, {"biotypes": ["coding"]}, {"biotypes": []},
     {"min_genes": -1}, {"mito_genes": []}],
)  # fmt: skip
def test_choices_out_of_range(tmp_path, options):
    with pytest.raises(OptionError):
        run_qc(bundled_path("pbmc_1k_v2"), tmp_path / "qc", **options)


def test_layer_and_dense_and_non_ascii_names(tmp_path):
    data = ad.read_h5ad(make(tmp_path / "x.h5ad", crowd()))
    data.obs_names = [f"Zelle-ä{i}" for i in range(40)]
    data.layers["counts"] = data.X.toarray()
    data.X = np.log1p(data.X.toarray())
    data.write_h5ad(tmp_path / "größe.h5ad")
    with pytest.raises(NotCountsError, match="--layer counts"):
        run_qc(tmp_path / "größe.h5ad", tmp_path / "qc")
    result = run_qc(tmp_path / "größe.h5ad", tmp_path / "qc", layer="counts")
    assert result.n_kept == 40
    assert reasons(tmp_path / "qc").index[0] == "Zelle-ä0"


def test_same_name_in_two_folders(tmp_path):
    paths = []
    for i, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        paths.append(make(tmp_path / name / "x.h5ad", crowd(20 + i)))
    result = run_qc(paths, tmp_path / "qc")
    assert list(result.table["cells"]) == [20, 21]
    for i, path in enumerate(paths):
        with open_counts(path) as counts:
            assert result.open().keep(SourceSpec(str(path)), counts).size == 20 + i
    with pytest.raises(SourceError, match="named twice"):
        run_qc([paths[0], paths[0]], tmp_path / "no")


# -- the folder -----------------------------------------------------------------------------------------------------


def test_what_is_there_is_replaced_only_on_request(tmp_path):
    path, out = make(tmp_path / "x.h5ad", crowd()), tmp_path / "deep" / "qc"
    run_qc(path, out)
    with pytest.raises(OutputError, match="--force"):
        run_qc(path, out)
    run_qc(path, out, n_sd=1, overwrite=True)
    assert read_qc(out).record["options"]["n_sd"] == 1
    assert left(out.parent) == {"qc"}


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    path, out = make(tmp_path / "x.h5ad", crowd()), tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years")
    for force in (False, True):
        with pytest.raises(OutputError, match="other files"):
            run_qc(path, out, overwrite=force)
    assert left(out) == {"thesis.txt"}
    (out / "thesis.txt").unlink()
    run_qc(path, out)  # an empty folder is nobody's


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path, out = make(tmp_path / "x.h5ad", crowd()), tmp_path / "qc"
    run_qc(path, out)
    before = {name: (out / name).read_bytes() for name in left(out)}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OutputError, match="No space left"):
        run_qc(path, out, n_sd=1, overwrite=True)
    assert {name: (out / name).read_bytes() for name in left(out)} == before
    assert left(tmp_path) == {"x.h5ad", "qc"}


def test_the_folder_is_the_same_whenever_it_is_written(tmp_path, monkeypatch):
    path = make(tmp_path / "x.h5ad", crowd())
    monkeypatch.chdir(tmp_path)
    for out in ("one", "two"):
        run_qc(path.name, out)
    assert left(tmp_path / "one") == {"qc.json", "datasets.tsv", "cells-00000.parquet"}
    for name in left(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert str(tmp_path) not in (tmp_path / "one" / "qc.json").read_text()


# -- reading it back ------------------------------------------------------------------------------------------------


@pytest.fixture
def judged(tmp_path):
    path = make(tmp_path / "x.h5ad", [*crowd(), cell(9000)])
    return path, run_qc(path, tmp_path / "qc").open()


def kept(folder, path, layer=None):
    spec = SourceSpec(str(path), layer)
    with spec.open() as counts:
        return folder.keep(spec, counts)


def test_keep_is_what_was_judged_wherever_the_file_is_now(judged, tmp_path, monkeypatch):
    path, folder = judged
    expected = [True] * 40 + [False]
    assert kept(folder, path).tolist() == expected
    monkeypatch.chdir(tmp_path)
    assert kept(folder, "x.h5ad").tolist() == expected
    (tmp_path / "moved").mkdir()
    path.rename(tmp_path / "moved" / "x.h5ad")
    assert kept(folder, "moved/x.h5ad").tolist() == expected


def test_another_source_is_refused(judged, tmp_path):
    path, folder = judged
    rows = [*crowd(), cell(9000)]
    with pytest.raises(SourceError, match="not among the 1 sources"):
        kept(folder, make(tmp_path / "y.h5ad", rows))
    changes = {
        "another shape": lambda data: data[:30].copy(),
        "other cell names": lambda data: ad.AnnData(data.X, data.obs.set_axis([f"c{i}" for i in range(41)]), data.var),
        "other counts": lambda data: ad.AnnData(data.X * 2, data.obs, data.var),
    }
    original = ad.read_h5ad(path)
    for what, change in changes.items():
        change(original).write_h5ad(path)
        with pytest.raises(SourceError, match=what):
            kept(folder, path)
    original.layers["counts"] = original.X
    original.write_h5ad(path)
    with pytest.raises(SourceError, match="another layer"):
        kept(folder, path, "counts")
    assert kept(folder, path).sum() == 40


def test_a_damaged_folder_is_refused(judged, tmp_path):
    path, folder = judged
    cells = folder.folder / "cells-00000.parquet"
    data = bytearray(cells.read_bytes())
    data[len(data) // 2] ^= 1
    cells.write_bytes(data)
    with pytest.raises(SourceError, match="damaged"):
        kept(folder, path)
    cells.unlink()
    with pytest.raises(SourceError, match="damaged"):
        kept(folder, path)
    record = folder.folder / "qc.json"
    for text in (record.read_text()[:100], "[]", json.dumps({"format": "corpuscle-qc/9", "sources": []})):
        record.write_text(text)
        with pytest.raises(SourceError, match=r"qc\.json"):
            read_qc(folder.folder)
    with pytest.raises(SourceError, match="no quality control"):
        read_qc(tmp_path)


def test_matrices_in_memory_are_told_apart_by_their_cells(tmp_path):
    one, two = (ad.read_h5ad(bundled_path(name)) for name in ("pbmc_1k_v2", "pbmc_1k_v3"))
    folder = run_qc([one, two], tmp_path / "qc").open()
    for data, n_kept in ((one, 965), (two, 895)):
        assert folder.keep(SourceSpec("AnnData", adata=data), open_counts(data)).sum() == n_kept


# -- the command ----------------------------------------------------------------------------------------------------


def test_command_prints_a_table_and_notes(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    path = make(tmp_path / "x.h5ad", crowd() + [cell(100, 5, 3)] * 12, {"donor": ["d[1]"] * 52})
    assert main(["corpus", "qc", str(path), "-o", str(tmp_path / "qc"), "--by", "donor"]) == 0
    shown = capfd.readouterr()
    assert "d[1]" in shown.out and "76.9%" in shown.out
    assert "40 of 52 cells kept" in shown.out
    assert "note: d[1]: 23% of its cells are dropped, most as fewer than 7" in shown.err


def test_command_takes_every_choice(tmp_path, capfd):
    rows = [*crowd(), cell(9000)]
    path = make(tmp_path / "x.h5ad", rows, {"ok": [True] * 41})
    genes = tmp_path / "mito.txt"
    genes.write_text("# mitochondrial\nMT-CO1\n\nMT-ND1 extra\n")
    argv = f"""corpus qc {path} -o {tmp_path / "qc"} --n-sd 2 --ddof 1 --mito-metric fraction --mito-genes {genes} --json
        --biotypes all --min-genes 3 --filter ok --no-total"""
    assert main(argv.split()) == 0
    record = json.loads(capfd.readouterr().out)
    expected = {
        "n_sd": 2, "ddof": 1, "mito_metric": "fraction", "mito_genes": ["MT-CO1", "MT-ND1"], "biotypes": "all",
        "min_genes": 3, "filter": "ok", "total": False, "mito": True, "by": None,
    }  # fmt: skip
    assert record["options"] | expected == record["options"]
    assert record["sources"][0]["cells"] == record["cells"] == 41


def test_mistakes_at_the_command_line(tmp_path, capfd):
    path = make(tmp_path / "x.h5ad", crowd())
    out = str(tmp_path / "qc")
    for argv, said in (
        ([str(tmp_path / "none.h5ad"), "-o", out], "no such file"),
        ([str(path), "-o", out, "--by", "donor"], "donor"),
        ([str(path), "-o", out, "--biotypes", " ,"], "biotype"),
        ([str(path), "-o", out, "--mito-genes", str(tmp_path / "none.txt")], "none.txt"),
        ([str(path), "-o", out, "--layer", "raw"], "raw"),
        ([str(path)], "-o"),
    ):
        assert main(["corpus", "qc", *argv]) == 2
        line = capfd.readouterr().err
        assert line.startswith("error: ") and line.count("\n") == 1 and said in line
    assert left(tmp_path) == {"x.h5ad"}
    (tmp_path / "empty.h5ad").write_bytes(b"")
    assert main(["corpus", "qc", str(tmp_path / "empty.h5ad"), "-o", out]) == 2
    with h5py.File(tmp_path / "bare.h5ad", "w"):
        pass
    assert main(["corpus", "qc", str(tmp_path / "bare.h5ad"), "-o", out]) == 2
