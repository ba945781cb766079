"""A data set from real cells: the reference's tokens, rows in order, one folder or none."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import threading
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

import datasets
from corpuscle.cli import main
from corpuscle.corpus import _arrow
from corpuscle.corpus.manifest import read_manifest
from corpuscle.corpus.presets import resolve_vocabulary
from corpuscle.corpus.selection import keep_cells
from corpuscle.corpus.tokenize import tokenize
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.counts import _threads, open_counts
from corpuscle.errors import GeneError, NotCountsError, OptionError, OutputError, SourceError

GOLDEN = Path(__file__).parent / "golden"
INPUT = GOLDEN / "input.h5ad"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


def load(folder: Path) -> datasets.Dataset:
    return datasets.load_from_disk(str(folder), keep_in_memory=True)


def tokens(folder: Path) -> np.ndarray:
    column = load(folder).data.column("input_ids").combine_chunks()
    return column.values.to_numpy().astype("<i4")


def sha256(folder: Path) -> str:
    return hashlib.sha256(tokens(folder).tobytes()).hexdigest()


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="module")
def v1() -> RankVocabulary:
    return resolve_vocabulary("geneformer-v1")[0]


@pytest.fixture(scope="module")
def framed(v1: RankVocabulary) -> RankVocabulary:
    specials = {**v1.specials, "<cls>": 25426, "<eos>": 25427}
    return RankVocabulary("framed", v1.gene_ids, v1.tokens_g, v1.medians_g, specials, 512, True)


@pytest.fixture(scope="module")
def cells() -> anndata.AnnData:
    return anndata.read_h5ad(INPUT)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "v1.dataset"
    tokenize(INPUT, out, attrs=["cell_id", "n_counts"])
    return out


# -- the reference's tokens ----------------------------------------------------------------------------------


def test_v1_tokens_columns_and_types(plain: Path, cells: anndata.AnnData) -> None:
    assert sha256(plain) == EXPECTED["v1_2048"]["sha256"]
    data = load(plain)
    types = {"input_ids": "list<item: int32>", "cell_id": "string", "n_counts": "double", "length": "int64"}
    assert {field.name: str(field.type) for field in data.data.schema} == types
    assert data.column_names == list(types)
    assert data["cell_id"][:] == cells.obs["cell_id"].tolist()
    assert data["n_counts"][:] == cells.obs["n_counts"].tolist()
    assert data["length"][:] == [len(row) for row in data["input_ids"]]
    lengths = np.load(plain / "lengths.npy")
    assert lengths.dtype == np.int32
    assert lengths.tolist() == data["length"][:]


def test_command_line_filter_and_alias_golden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "f.dataset"
    code = main(["corpus", "tokenize", str(INPUT), "--preset", "geneformer-v1", "--filter", "golden_filter", "--attrs",
                 "cell_id,shard:half", "--json", "-o", str(out)])  # fmt: skip
    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"] == 133
    assert printed["sources"][0]["dropped"] == {"filter_pass": 67, "qc": 0, "no vocabulary gene": 0}
    assert sha256(out) == EXPECTED["filter_2048"]["sha256"]
    assert load(out).column_names == ["input_ids", "cell_id", "half", "length"]
    again = tmp_path / "a.dataset"
    argv = ["corpus", "tokenize", str(INPUT), "--gene-column", "ensembl_id_alias", "--aliases",
            str(GOLDEN / "alias_map.tsv"), "-o", str(again)]  # fmt: skip
    assert main(argv) == 0
    assert sha256(again) == EXPECTED["alias_collapse_2048"]["sha256"]
    assert "200 of 200 cells" in capsys.readouterr().err


def test_special_tokens_and_counts_golden(tmp_path: Path, framed: RankVocabulary) -> None:
    made = tokenize(INPUT, tmp_path / "s.dataset", vocabulary=framed, keep_counts=True, attrs=["shard"])
    expected = EXPECTED["special_512_counts"]
    assert sha256(made.folder) == expected["sha256"]
    data = load(made.folder)
    assert data.column_names == ["input_ids", "counts", "shard", "length"]
    np.testing.assert_allclose(data[0]["counts"], expected["counts_first_cell"], rtol=1e-12)
    total = data.data.column("counts").combine_chunks().values.to_numpy().sum()
    assert total == pytest.approx(expected["counts_sum"], rel=1e-12)
    assert made.manifest["sources"][0]["depth"] == "n_counts"
    cut = sum(length == 512 for length in data["length"])
    assert 0 < made.truncated <= cut


def test_manifest_adds_up_and_names_every_file(plain: Path, v1: RankVocabulary) -> None:
    manifest = read_manifest(plain)
    assert manifest["vocabulary"]["sha256"] == v1.sha256
    assert (manifest["rows"], manifest["tokens"]) == (200, tokens(plain).size)
    assert manifest["columns"] == {
        "input_ids": "list<int32>", "cell_id": "string", "n_counts": "float64", "length": "int64",
    }  # fmt: skip
    known = {shard["file"]: shard["sha256"] for shard in manifest["shards"]} | manifest["files"]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in plain.iterdir()}
    assert {**known, "manifest.json": found["manifest.json"]} == found
    source = manifest["sources"][0]
    assert source["cells"] == source["rows"] + sum(source["dropped"].values())
    assert 0 < source["counts_matched"] <= source["counts_total"]
    assert hidden(plain.parent) == []


# -- however the cells are stored ----------------------------------------------------------------------------


def stored(cells: anndata.AnnData, kind: str, folder: Path) -> Path | anndata.AnnData:
    path = folder / f"cells.{kind}"
    adata = cells.copy()
    if kind == "zarr":
        adata.write_zarr(path)
    elif kind == "csc":
        adata.X = sp.csc_matrix(adata.X)
        adata.write_h5ad(path)
    elif kind == "dense":
        adata.X = adata.X.toarray()
        adata.write_h5ad(path)
    elif kind == "loom":
        import h5py

        with h5py.File(path, "w") as file:
            file["matrix"] = adata.X.toarray().T
            file["row_attrs/ensembl_id"] = adata.var["ensembl_id"].to_numpy(object).astype("S")
            file["col_attrs/CellID"] = adata.obs["cell_id"].to_numpy(object).astype("S")
            file.create_group("layers")
            file.create_group("row_graphs")
            file.create_group("col_graphs")
    return adata if kind == "memory" else path


@pytest.mark.parametrize("kind", ["zarr", "csc", "dense", "loom", "memory"])
def test_every_format_gives_the_same_tokens(kind: str, cells: anndata.AnnData, tmp_path: Path) -> None:
    first = cells[:60].copy()
    made = tokenize(stored(first, kind, tmp_path), tmp_path / "o.dataset")
    reference = tokenize(stored(first, "memory", tmp_path), tmp_path / "r.dataset")
    np.testing.assert_array_equal(tokens(made.folder), tokens(reference.folder))
    assert len(load(made.folder)) == 60
    ours, theirs = (one.manifest["sources"][0]["match"]["matched"] for one in (made, reference))
    assert ours == theirs == 17824


@pytest.fixture(scope="module")
def halves(cells: anndata.AnnData, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of one name, the genes of the second in another order and fewer by one that no cell has."""
    folder = tmp_path_factory.mktemp("halves")
    paths = [folder / "a" / "cells.h5ad", folder / "b" / "cells.h5ad"]
    for path in paths:
        path.parent.mkdir()
    cells[:100].copy().write_h5ad(paths[0])
    second = cells[100:].copy()
    order = np.random.default_rng(0).permutation(second.n_vars)
    silent = int(np.argmin(np.asarray(second.X.sum(axis=0)).ravel()))
    second[:, order[order != silent]].copy().write_h5ad(paths[1])
    return paths


@pytest.mark.parametrize("shard_cells", [65_536, 64, 7])
def test_files_become_rows_in_order_for_any_shards(
    halves: list[Path], plain: Path, tmp_path: Path, shard_cells: int
) -> None:
    made = tokenize(halves, tmp_path / "o.dataset", attrs=["cell_id", "n_counts"], shard_cells=shard_cells)
    assert sha256(made.folder) == EXPECTED["v1_2048"]["sha256"]
    assert load(made.folder)["cell_id"][:] == load(plain)["cell_id"][:]
    assert len(made.manifest["shards"]) == -(-200 // shard_cells)
    pieces = [piece for shard in made.manifest["shards"] for piece in shard["pieces"]]
    for source in (0, 1):
        spans = [(piece["start"], piece["stop"]) for piece in pieces if piece["source"] == source]
        assert [row for start, stop in spans for row in range(start, stop)] == list(range(100))


def test_a_shard_without_rows_loads(tmp_path: Path, cells: anndata.AnnData) -> None:
    some = cells[:60].copy()
    some.obs["good"] = [0] * 20 + [1] * 20 + [0] * 20
    made = tokenize(some, tmp_path / "o.dataset", filter="good", shard_cells=20, attrs=["cell_id"], parquet=True)
    assert [shard["rows"] for shard in made.manifest["shards"]] == [0, 20, 0]
    assert load(made.folder)["cell_id"][:] == cells.obs["cell_id"].tolist()[20:40]
    assert pq.read_table(made.folder / made.manifest["shards"][0]["parquet"]["file"]).num_rows == 0


def test_cells_without_vocabulary_genes_are_counted(tmp_path: Path, cells: anndata.AnnData) -> None:
    some = cells[:20].copy()
    x = some.X.tolil()
    x[3], x[7] = 0, 0
    x[7, int(np.argmax(~some.var["ensembl_id"].str.startswith("ENSG").to_numpy()))] = 5
    some.X = x.tocsr()
    made = tokenize(some, tmp_path / "o.dataset", attrs=["cell_id"])
    assert made.manifest["sources"][0]["dropped"]["no vocabulary gene"] == 2
    assert load(made.folder)["cell_id"][:] == [name for i, name in enumerate(some.obs["cell_id"]) if i not in (3, 7)]


def test_parquet_holds_the_rows_of_each_shard(tmp_path: Path) -> None:
    made = tokenize(INPUT, tmp_path / "o.dataset", attrs=["shard"], parquet=True, shard_cells=90)
    for shard in made.manifest["shards"]:
        arrow = _arrow.shard_table(made.folder / shard["file"])
        assert pq.read_table(made.folder / shard["parquet"]["file"]).equals(arrow)


@pytest.mark.parametrize(("dtype", "arrow_type"), [("int16", pa.int16()), ("int64", pa.int64())])
def test_token_types(tmp_path: Path, dtype: str, arrow_type: pa.DataType) -> None:
    made = tokenize(INPUT, tmp_path / "o.dataset", token_dtype=dtype)
    assert load(made.folder).data.schema.field("input_ids").type == pa.list_(arrow_type)
    assert sha256(made.folder) == EXPECTED["v1_2048"]["sha256"]


def test_a_token_that_does_not_fit_is_refused(tmp_path: Path, v1: RankVocabulary) -> None:
    large = RankVocabulary("large", v1.gene_ids, v1.tokens_g + 10_000, v1.medians_g, v1.specials, 2048, False)
    with pytest.raises(OptionError, match="does not fit int16"):
        tokenize(INPUT, tmp_path / "o.dataset", vocabulary=large, token_dtype="int16")


def test_pretrainer_files_are_plain_pickles(tmp_path: Path, v1: RankVocabulary) -> None:
    made = tokenize(INPUT, tmp_path / "o.dataset", pretrainer_files=True)
    lengths = pickle.loads((made.folder / "lengths.pkl").read_bytes())
    assert lengths == load(made.folder)["length"][:]
    assert all(type(length) is int for length in lengths)
    dictionary = pickle.loads((made.folder / "token_dictionary.pkl").read_bytes())
    expected = dict(zip(v1.gene_ids, v1.tokens_g.tolist(), strict=True)) | dict(v1.specials)
    assert dictionary == expected


# -- order ---------------------------------------------------------------------------------------------------


def by_cell(folder: Path) -> dict[str, list[int]]:
    data = load(folder)
    return dict(zip(data["cell_id"], data["input_ids"], strict=True))


@pytest.mark.parametrize("order", ["shuffled", "bucketed"])
def test_order_is_a_permutation_that_only_the_seed_decides(order: str, plain: Path, tmp_path: Path) -> None:
    attrs = ["cell_id", "n_counts"]
    made = [
        tokenize(INPUT, tmp_path / f"{i}.dataset", attrs=attrs, order=order, seed=seed, shard_cells=shard_cells)
        for i, (seed, shard_cells) in enumerate([(0, 70), (0, 200), (1, 70)])
    ]
    names = [load(one.folder)["cell_id"][:] for one in made]
    assert names[0] == names[1]
    assert names[0] != names[2]
    assert names[0] != load(plain)["cell_id"][:]
    assert by_cell(made[0].folder) == by_cell(plain)
    assert [shard["rows"] for shard in made[0].manifest["shards"]] == [70, 70, 60]
    data = load(made[0].folder)
    assert np.load(made[0].folder / "lengths.npy").tolist() == data["length"][:] == [len(r) for r in data["input_ids"]]
    if order == "bucketed":
        assert data["length"][:] == sorted(data["length"], reverse=True)
    assert hidden(tmp_path) == []


def test_order_keeps_missing_attributes_and_counts(tmp_path: Path, cells: anndata.AnnData) -> None:
    some = cells[:50].copy()
    some.obs["age"] = pd.array([None if i % 3 else i for i in range(50)], dtype="Int64")
    one = tokenize(some, tmp_path / "a.dataset", attrs=["cell_id", "age"], keep_counts=True)
    two = tokenize(some, tmp_path / "b.dataset", attrs=["cell_id", "age"], keep_counts=True, order="shuffled")
    rows = [sorted(load(made.folder).to_list(), key=lambda row: row["cell_id"]) for made in (one, two)]
    assert rows[0] == rows[1]
    assert sum(row["age"] is None for row in rows[0]) == 33


# -- which cells ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(lambda keep: keep, id="bool"),
        pytest.param(lambda keep: keep.astype(int), id="int"),
        pytest.param(lambda keep: keep.astype(float), id="float"),
        pytest.param(lambda keep: keep.astype(int).astype(str), id="0 and 1 as text"),
        pytest.param(lambda keep: np.where(keep, "True", "False"), id="True and False as text"),
        pytest.param(lambda keep: pd.Categorical(np.where(keep, "true", "false")), id="categorical"),
        pytest.param(lambda keep: pd.array(keep, dtype="boolean"), id="nullable"),
    ],
)
def test_filter_columns_of_every_kind(values, cells: anndata.AnnData) -> None:
    keep = cells.obs["golden_filter"].to_numpy() == 1
    some = anndata.AnnData(cells.X, obs=cells.obs.assign(use=values(keep)), var=cells.var)
    with open_counts(some) as counts:
        found, dropped = keep_cells(None, counts, filter="use")
    np.testing.assert_array_equal(found, keep)
    assert dropped == {"filter_pass": 67, "qc": 0}


@pytest.mark.parametrize(
    ("values", "error", "says"),
    [
        ([1.0, np.nan], NotCountsError, "says nothing for 1 cells"),
        ([1, 2], NotCountsError, "holds 2"),
        (["yes", "no"], NotCountsError, "'yes'"),
    ],
)
def test_filter_columns_that_are_refused(values, error: type[Exception], says: str, cells: anndata.AnnData) -> None:
    some = anndata.AnnData(cells.X[:2], obs=cells.obs[:2].assign(use=values), var=cells.var)
    with open_counts(some) as counts:
        with pytest.raises(error, match=says):
            keep_cells(None, counts, filter="use")
        with pytest.raises(OptionError, match="golden_filter"):
            keep_cells(None, counts, filter="nope")
        assert keep_cells(None, counts, filter="nope", filter_missing="keep")[0].all()


def test_qc_drops_after_the_filter(cells: anndata.AnnData) -> None:
    class Judged:
        def keep(self, spec: object, counts: object) -> np.ndarray:
            return np.arange(200) < 150

    with open_counts(cells) as counts:
        keep, dropped = keep_cells(None, counts, filter="golden_filter", qc=Judged())
    good = cells.obs["golden_filter"].to_numpy() == 1
    assert dropped == {"filter_pass": 67, "qc": int(good[150:].sum())}
    assert keep.sum() == good[:150].sum()


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path, cells: anndata.AnnData) -> None:
    some = cells[:10].copy()
    some.obs["none"] = 0
    with pytest.raises(GeneError, match="10 by filter_pass"):
        tokenize(some, tmp_path / "o.dataset", filter="none")
    some.X = sp.csr_matrix(some.shape, dtype=np.float32)
    some.X[:, int(np.argmax(~some.var["ensembl_id"].str.startswith("ENSG").to_numpy()))] = 1
    path = tmp_path / "s.h5ad"
    some.write_h5ad(path)
    with pytest.raises(GeneError):
        tokenize(path, tmp_path / "o.dataset", min_match=0)
    assert [one.name for one in tmp_path.iterdir()] == ["s.h5ad"]


# -- the folder ----------------------------------------------------------------------------------------------


def test_an_existing_data_set_is_kept_until_the_new_one_is_whole(tmp_path: Path, cells: anndata.AnnData) -> None:
    out = tmp_path / "o.dataset"
    tokenize(cells[:10], out)
    before = tokens(out)
    with pytest.raises(OutputError, match="--force"):
        tokenize(cells[:20], out)
    with pytest.raises(OptionError):
        tokenize(cells[:20], out, attrs=["nope"], overwrite=True)
    np.testing.assert_array_equal(tokens(out), before)
    tokenize(cells[:20], out, overwrite=True)
    assert len(load(out)) == 20
    assert hidden(tmp_path) == []


def test_other_folders_are_not_replaced(tmp_path: Path, cells: anndata.AnnData) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_text("cat")
    with pytest.raises(OutputError, match="no data set"):
        tokenize(cells[:10], photos, overwrite=True)
    assert (photos / "cat.jpg").read_text() == "cat"
    store = tmp_path / "cells.zarr"
    cells[:10].write_zarr(store)
    with pytest.raises(OutputError, match="is or holds the source"):
        tokenize(store, store, overwrite=True)
    with pytest.raises(OutputError, match="make it first"):
        tokenize(cells[:10], tmp_path / "no" / "o.dataset")


def test_a_bad_value_at_the_end_leaves_no_data_set(tmp_path: Path, cells: anndata.AnnData) -> None:
    some = cells[:40].copy()
    big = sp.vstack([some.X] * 10, format="csr")
    big.data[-1] = -2
    path = tmp_path / "bad.h5ad"
    anndata.AnnData(big, var=some.var).write_h5ad(path)
    with pytest.raises(NotCountsError, match="negative"):
        tokenize(path, tmp_path / "o.dataset", shard_cells=390)
    assert not (tmp_path / "o.dataset").exists()
    building = tmp_path / ".o.dataset.building"
    assert (building / "data-00000.json").exists()  # the finished shard waits for a call that goes on
    assert not list(building.glob(".writing-*"))


def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: object, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_arrow.HashingFile, "write", full)
    assert main(["corpus", "tokenize", str(INPUT), "-o", str(tmp_path / "o.dataset")]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "No space left on device" in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        tokenize(INPUT, tmp_path / "locked" / "o.dataset")


def test_two_builds_of_one_folder(tmp_path: Path) -> None:
    started, go = threading.Event(), threading.Event()

    def wait(done: int, total: int, what: str) -> None:
        started.set()
        go.wait(60)

    out = tmp_path / "o.dataset"
    other = threading.Thread(target=tokenize, args=(INPUT, out), kwargs={"progress": wait})
    other.start()
    try:
        assert started.wait(60)
        with pytest.raises(OutputError, match=f"process {os.getpid()} is building it"):
            tokenize(INPUT, out)
    finally:
        go.set()
        other.join()
    assert sha256(out) == EXPECTED["v1_2048"]["sha256"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"order": "sorted"}, "order"),
        ({"token_dtype": "int8"}, "int8"),
        ({"shard_cells": 0}, "shard_cells"),
        ({"min_match": 2.0}, "min_match"),
        ({"depth": "n_count"}, "n_count"),
        ({"preset": "geneformer-v9"}, "geneformer-v9"),
    ],
)
def test_options_that_make_no_sense(options: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=says):
        tokenize(INPUT, tmp_path / "o.dataset", **options)
    assert list(tmp_path.iterdir()) == []


def test_cells_in_memory_do_not_go_to_a_cluster(tmp_path: Path, cells: anndata.AnnData) -> None:
    with pytest.raises(OptionError, match="in memory"):
        tokenize(cells, tmp_path / "o.dataset", scheduler="tcp://127.0.0.1:1")


def test_a_file_changed_during_the_build_is_noticed(tmp_path: Path, cells: anndata.AnnData) -> None:
    path = tmp_path / "cells.h5ad"
    cells[:40].copy().write_h5ad(path)

    def touch(done: int, total: int, what: str) -> None:
        if what == "cells" and 0 < done < total:
            os.utime(path, ns=(1, 1))

    with pytest.raises(SourceError, match="changed"):
        tokenize(path, tmp_path / "o.dataset", shard_cells=20, progress=touch)
    assert not (tmp_path / "o.dataset").exists()


def test_same_bytes_for_any_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for threads in (1, 5):
        monkeypatch.setattr(_threads, "n_threads", lambda threads=threads: threads)
        out = tmp_path / str(threads) / "o.dataset"
        out.parent.mkdir()
        tokenize(INPUT, out, attrs=["cell_id", "shard"], shard_cells=80, keep_counts=True)
        digests.add(tuple(sorted((p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in out.iterdir())))
    assert len(digests) == 1
