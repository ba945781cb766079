"""The catalogue of bad and odd input: each is mended or refused with one line, and no data set appears by accident."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from small_cells import cells, expected, refused, rows, tokens, v1, write

from corpuscle.cli import main
from corpuscle.corpus.manifest import read_manifest
from corpuscle.corpus.tokenize import tokenize
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.counts.genes import human_mouse_pairs
from corpuscle.errors import CorpuscleError, GeneError, NotCountsError, OptionError, SourceError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "cells.dataset"


def with_x(change: Callable[[Any], Any]) -> ad.AnnData:
    adata = cells()
    adata.X = change(adata.X)
    return adata


def in_vocabulary(ids: list[str]) -> list[int]:
    """Places of the ids that the vocabulary has."""
    known = set(v1().gene_ids)
    return [i for i, gene in enumerate(ids) if gene in known]


# -- files ----------------------------------------------------------------------------------------------------------


def test_an_empty_file(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "empty.h5ad"
    path.touch()
    with refused(SourceError, "empty.h5ad", "empty", out=out):
        tokenize(path, out)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file(share: float, tmp_path: Path, out: Path) -> None:
    path = write(cells(), tmp_path / "cut.h5ad")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with refused(SourceError, "cut.h5ad", out=out):
        tokenize(path, out)


def test_a_missing_file_and_a_pattern_that_matches_nothing(tmp_path: Path, out: Path) -> None:
    with refused(SourceError, "nowhere.h5ad", out=out):
        tokenize(tmp_path / "nowhere.h5ad", out)
    with refused(SourceError, "no file matches", out=out):
        tokenize(str(tmp_path / "*.h5ad"), out)


def test_a_file_without_cells(tmp_path: Path, out: Path) -> None:
    path = write(cells()[:0].copy(), tmp_path / "none.h5ad")
    with refused(SourceError, "none.h5ad", "no cells", out=out):
        tokenize(path, out)


def test_only_a_raw_group(tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.raw = adata
    path = write(adata, tmp_path / "raw.h5ad", lambda file: file.pop("X"))
    with refused(SourceError, "raw.h5ad", "no X", "raw", out=out):
        tokenize(path, out)
    assert tokens(path, out, layer="raw") == expected(adata)


def test_the_same_name_in_two_folders(tmp_path: Path, out: Path) -> None:
    first, second = cells()[:4].copy(), cells()[4:].copy()
    paths = [write(first, tmp_path / "a" / "cells.h5ad"), write(second, tmp_path / "b" / "cells.h5ad")]
    assert tokens(paths, out) == expected(first) + expected(second)
    assert [source["name"] for source in read_manifest(out)["sources"]] == [str(path) for path in paths]


def test_the_same_file_twice(tmp_path: Path, out: Path) -> None:
    path = write(cells(), tmp_path / "cells.h5ad")
    with refused(SourceError, "twice", out=out):
        tokenize([path, tmp_path / "." / "cells.h5ad"], out)


def test_names_beyond_ascii(tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.obs["Größe 細胞"] = [f"grün {i} 🧬" for i in range(6)]
    path = write(adata, tmp_path / "größe 細胞.h5ad")
    assert tokens(path, out, attrs={"Größe 細胞": "サイズ"}) == expected(adata)
    assert list(rows(out)["サイズ"]) == list(adata.obs["Größe 細胞"])
    assert read_manifest(out)["sources"][0]["name"].endswith("größe 細胞.h5ad")


@pytest.mark.parametrize("version", [2, 3])
def test_zarr(version: int, tmp_path: Path, out: Path) -> None:
    with ad.settings.override(zarr_write_format=version), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells().write_zarr(tmp_path / "cells.zarr")
    assert tokens(tmp_path / "cells.zarr", out) == expected(cells())


def test_a_backed_object(tmp_path: Path, out: Path) -> None:
    backed = ad.read_h5ad(write(cells(), tmp_path / "cells.h5ad"), backed="r")
    assert tokens(backed, out) == expected(cells())
    backed.file.close()


# -- cells ----------------------------------------------------------------------------------------------------------


def test_one_cell(tmp_path: Path, out: Path) -> None:
    adata = cells(1)
    assert tokens(write(adata, tmp_path / "one.h5ad"), out) == expected(adata)


def test_a_cell_with_fewer_than_seven_genes_is_for_quality_control_to_drop(tmp_path: Path, out: Path) -> None:
    adata = cells()
    x_ng = adata.X.tolil()
    known = np.flatnonzero(adata.var["ensembl_id"].isin(v1().gene_ids))[:3]
    x_ng[5] = 0
    x_ng[5, known] = [3, 2, 1]
    adata.X = x_ng.tocsr()
    adata.obs["n_counts"] = np.asarray(adata.X.sum(axis=1)).ravel()
    path = write(adata, tmp_path / "few.h5ad")
    found = tokens(path, out)
    assert found == expected(adata)
    assert len(found[5]) == 3
    from corpuscle.corpus.qc import run_qc

    run_qc(path, tmp_path / "qc")
    assert tokens(path, tmp_path / "judged.dataset", qc=tmp_path / "qc") == expected(adata)[:5]
    assert read_manifest(tmp_path / "judged.dataset")["sources"][0]["dropped"]["qc"] == 1


def test_cells_with_only_genes_outside_the_vocabulary(tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata = adata[:, ~adata.var["ensembl_id"].isin(v1().gene_ids)].copy()
    adata.var["ensembl_id"] = [f"ENSG999{i:08d}" for i in range(adata.n_vars)]
    path = write(adata, tmp_path / "foreign.h5ad")
    with refused(GeneError, "foreign.h5ad", out=out):
        tokenize(path, out)


def test_nothing_left_after_the_filter_says_why(tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.obs["keep"] = 0
    path = write(adata, tmp_path / "cells.h5ad")
    with refused(CorpuscleError, "6", "filter", out=out):
        tokenize(path, out, filter="keep")


def framed(vocabulary: RankVocabulary, medians_g: Any = None, max_len: int = 4096) -> RankVocabulary:
    n = vocabulary.size
    return RankVocabulary(
        "framed",
        vocabulary.gene_ids,
        vocabulary.tokens_g,
        vocabulary.medians_g if medians_g is None else medians_g,
        {**vocabulary.specials, "<cls>": n, "<eos>": n + 1},
        max_len,
        True,
    )


def test_a_cell_with_more_genes_than_fit(tmp_path: Path, out: Path) -> None:
    vocabulary = framed(v1())
    ids = vocabulary.gene_ids[:6000]
    x_ng = np.random.default_rng(0).integers(1, 50, (2, len(ids)))
    adata = ad.AnnData(sp.csr_matrix(x_ng), var=pd.DataFrame(index=list(ids)))
    found = tokens(write(adata, tmp_path / "rich.h5ad"), out, vocabulary=vocabulary)
    assert found == expected(adata, ids, vocabulary)
    assert [len(ids_of_cell) for ids_of_cell in found] == [4096, 4096]
    assert (found[0][0], found[0][-1]) == (vocabulary.size - 2, vocabulary.size - 1)
    assert read_manifest(out)["truncated"] == 2


def test_a_cell_where_all_genes_are_tied_comes_in_the_order_of_tokens(tmp_path: Path, out: Path) -> None:
    vocabulary = framed(v1(), np.full(len(v1().gene_ids), 1.5), max_len=1000)
    ids = np.array(vocabulary.gene_ids)[np.random.default_rng(1).permutation(len(vocabulary.gene_ids))]
    adata = ad.AnnData(sp.csr_matrix(np.ones((1, ids.size), np.float32)), var=pd.DataFrame(index=ids))
    found = tokens(write(adata, tmp_path / "tied.h5ad"), out, vocabulary=vocabulary)
    lowest = sorted(vocabulary.tokens_g.tolist())[:998]
    assert found == [[vocabulary.specials["<cls>"], *lowest, vocabulary.specials["<eos>"]]]


# -- how the matrix is stored ---------------------------------------------------------------------------------------


def _unsorted(x_ng: sp.csr_matrix) -> sp.csr_matrix:
    """Each cell's entries backwards, its first count in two entries: 1 and the rest."""
    data, indices, indptr = [], [], [0]
    for i in range(x_ng.shape[0]):
        row = x_ng[i]
        data += [1, *row.data[::-1]]
        data[-1] -= 1
        indices += [row.indices[0], *row.indices[::-1]]
        indptr.append(len(data))
    return sp.csr_matrix((np.array(data, np.float32), np.array(indices, np.int32), indptr), shape=x_ng.shape)


LAYOUTS: dict[str, Callable[[sp.csr_matrix], Any]] = {
    "unsorted and repeated": _unsorted,
    "CSC": sp.csc_matrix,
    "dense": lambda x_ng: np.asarray(x_ng.todense()),
    "dense int": lambda x_ng: np.asarray(x_ng.todense()).astype(np.int16),
    **{
        dtype: lambda x_ng, dtype=dtype: x_ng.astype(dtype)
        for dtype in ("float32", "float64", "int32", "int64", "uint16", "uint32", "bool")
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_storage_does_not_change_tokens(layout: str, tmp_path: Path, out: Path) -> None:
    want = cells()
    if layout == "bool":
        want.X.data[:] = 1
    if layout == "unsorted and repeated":
        assert not LAYOUTS[layout](want.X).has_canonical_format
    found = tokens(write(with_x(LAYOUTS[layout]), tmp_path / "cells.h5ad"), out)
    assert found == expected(want)


def _wide(file: h5py.File) -> None:
    for key in ("X/indptr", "X/indices"):
        values = file[key][:].astype(np.int64)
        del file[key]
        file[key] = values


def test_row_starts_of_64_bits(tmp_path: Path, out: Path) -> None:
    path = write(cells(), tmp_path / "wide.h5ad", _wide)
    with h5py.File(path) as file:
        assert file["X/indptr"].dtype == np.int64
    assert tokens(path, out) == expected(cells())


@pytest.mark.parametrize("entries", [2**31 + 5, 2**40, -1])
def test_row_starts_that_lie_about_more_than_2_to_the_31_entries(entries: int, tmp_path: Path, out: Path) -> None:
    def lie(file: h5py.File) -> None:
        _wide(file)
        file["X/indptr"][-1] = entries

    path = write(cells(), tmp_path / "lie.h5ad", lie)
    with refused(SourceError, "lie.h5ad", "indptr", "damaged", out=out):
        tokenize(path, out)


def test_an_index_outside_the_genes(tmp_path: Path, out: Path) -> None:
    def spoil(file: h5py.File) -> None:
        file["X/indices"][-1] = 10**6

    path = write(cells(), tmp_path / "outside.h5ad", spoil)
    with refused(SourceError, "outside.h5ad", "1000000", out=out):
        tokenize(path, out)


# -- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind"), [(-2.0, "negative"), (np.nan, "NaN"), (np.inf, "infinite"), (0.5, "fractional")]
)
def test_a_bad_value_in_the_last_cell_leaves_no_data_set(value: float, kind: str, tmp_path: Path, out: Path) -> None:
    adata = ad.concat([cells()] * 60, index_unique="-", merge="same")  # beyond the sample looked at on opening
    adata.X.data[-1] = value
    gene = adata.var_names[adata.X.indices[-1]]
    path = write(adata, tmp_path / "late.h5ad")
    with refused(NotCountsError, "late.h5ad", kind, f"cell {adata.obs_names[-1]}", f"gene {gene}", out=out):
        tokenize(path, out)


def test_fractional_counts_are_refused_unless_forced(tmp_path: Path, out: Path) -> None:
    adata = with_x(lambda x_ng: x_ng * np.float32(0.5))
    path = write(adata, tmp_path / "ambient.h5ad")
    with refused(NotCountsError, "fractional", out=out):
        tokenize(path, out)
    assert tokens(path, out, allow_fractional=True) == expected(adata)


@pytest.mark.parametrize("place", ["counts", "raw"])
def test_counts_beside_normalised_values(place: str, tmp_path: Path, out: Path) -> None:
    adata = cells()
    if place == "raw":
        adata.raw = adata.copy()
    else:
        adata.layers["counts"] = adata.X.copy()
    adata.X = np.log1p(adata.X * np.float32(0.3))
    path = write(adata, tmp_path / "norm.h5ad")
    with refused(NotCountsError, "norm.h5ad", "fractional", f"--layer {place}", out=out):
        tokenize(path, out)
    assert tokens(path, out, layer=place) == expected(cells())


def test_a_matrix_of_zeros(tmp_path: Path, out: Path) -> None:
    path = write(with_x(lambda x_ng: x_ng * 0), tmp_path / "zeros.h5ad")
    with refused(CorpuscleError, "no cell is left of 6", out=out):
        tokenize(path, out)


# -- genes ----------------------------------------------------------------------------------------------------------


def test_symbols_are_mapped_and_reported(tmp_path: Path, out: Path) -> None:
    adata = cells()
    by_id = expected(adata)
    adata.var = adata.var[[]]
    found = tokens(write(adata, tmp_path / "symbols.h5ad"), out)
    match = read_manifest(out)["sources"][0]["match"]
    assert match["by"]["symbol"] > 0.9 * match["matched"]
    # The golden ids come from another table of symbols, which knows some other names.
    for ids, want in zip(found, by_id, strict=True):
        assert len(set(ids) & set(want)) > 0.9 * max(len(want), len(ids))


def test_version_suffixes_letter_case_and_aliases_give_the_same_tokens(tmp_path: Path, out: Path) -> None:
    adata = cells()
    want = expected(adata)
    ids = adata.var["ensembl_id"].tolist()
    known = in_vocabulary(ids)
    aliases = {"OLD_1": ids[known[0]], "OLD_2": ids[known[1]]}
    ids[known[0]], ids[known[1]] = "OLD_1", "old_2"
    for i in known[2:100]:
        ids[i] += ".12"
    for i in known[100:200]:
        ids[i] = ids[i].lower()
    adata.var["ensembl_id"] = ids
    assert tokens(write(adata, tmp_path / "odd.h5ad"), out, aliases=aliases) == want
    by = read_manifest(out)["sources"][0]["match"]["by"]
    assert (by["alias"], by["version"], by["case"]) == (2, 98, 100)


def test_mouse_symbols_are_refused_unless_orthologs_are_asked_for(tmp_path: Path, out: Path) -> None:
    adata = cells()
    pairs = human_mouse_pairs().drop_duplicates("human_symbol", keep=False).drop_duplicates("mouse_symbol", keep=False)
    mouse = dict(zip(pairs["human_symbol"], pairs["mouse_symbol"], strict=True))
    adata = adata[:, adata.var["symbol"].isin(mouse)].copy()
    adata.var = pd.DataFrame(index=[mouse[symbol] for symbol in adata.var["symbol"]])
    path = write(adata, tmp_path / "mouse.h5ad")
    with refused(GeneError, "mouse.h5ad", "mouse", "orthologs", out=out):
        tokenize(path, out)
    found = tokens(path, out, orthologs=True)
    assert min(map(len, found)) > 100
    match = read_manifest(out)["sources"][0]["match"]
    assert match["by"]["ortholog"] > 0.8 * adata.n_vars


def test_repeated_ids_are_added_up(tmp_path: Path, out: Path) -> None:
    adata = cells()
    ids = adata.var["ensembl_id"].tolist()
    known = in_vocabulary(ids)
    ids[known[7]] = ids[known[3]]
    adata.var["ensembl_id"] = ids
    assert tokens(write(adata, tmp_path / "twice.h5ad"), out) == expected(adata)
    assert read_manifest(out)["sources"][0]["match"]["summed"] == 1


def test_pseudoautosomal_copies_keep_their_own_tokens(tmp_path: Path, out: Path) -> None:
    copy_y = next(gene for gene in v1().gene_ids if gene.startswith("ENSGR"))
    copy_x = copy_y.replace("ENSGR0", "ENSG00")
    assert copy_x in v1().gene_ids
    adata = cells()
    ids = adata.var["ensembl_id"].tolist()
    both = np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel())[:2]
    for place in both:
        ids[place] = "ENSG99999999999"
    ids = [gene if gene not in (copy_x, copy_y) else "ENSG99999999998" for gene in ids]
    ids[both[0]], ids[both[1]] = copy_x, copy_y
    adata.var["ensembl_id"] = ids
    found = tokens(write(adata, tmp_path / "par.h5ad"), out)
    assert found == expected(adata)
    token = dict(zip(v1().gene_ids, v1().tokens_g.tolist(), strict=True))
    assert all(token[copy_x] in ids and token[copy_y] in ids for ids in found)


def test_files_with_other_genes_in_another_order(tmp_path: Path, out: Path) -> None:
    first = cells()
    order = np.random.default_rng(2).permutation(first.n_vars)
    second = cells()[:, order[: first.n_vars * 3 // 4]].copy()
    paths = [write(first, tmp_path / "1.h5ad"), write(second, tmp_path / "2.h5ad")]
    assert tokens(paths, out) == expected(first) + expected(second)


def test_a_file_of_which_too_little_matches(tmp_path: Path, out: Path) -> None:
    adata = cells()
    ids = adata.var["ensembl_id"].tolist()
    known = in_vocabulary(ids)
    for i in known[:-200]:
        ids[i] = f"ENSG98{i:09d}"
    adata.var["ensembl_id"] = ids
    path = write(adata, tmp_path / "little.h5ad")
    with refused(GeneError, "little.h5ad", "%", out=out):
        tokenize(path, out)
    assert tokens(path, out, min_match=0.0001) == expected(adata)


# -- columns of cells -----------------------------------------------------------------------------------------------


def test_no_n_counts(tmp_path: Path, out: Path) -> None:
    adata = cells()
    n_counts = np.asarray(adata.X.sum(axis=1)).ravel()
    del adata.obs["n_counts"]
    assert tokens(write(adata, tmp_path / "cells.h5ad"), out, keep_counts=True) == expected(adata)
    assert read_manifest(out)["sources"][0]["depth"] == "computed"
    first, largest = rows(out)[0], adata.X[0].data
    assert np.min(first["counts"]) == pytest.approx(largest.min() / n_counts[0] * 1e4)
    with refused(OptionError, "n_counts", out=tmp_path / "stated.dataset"):
        tokenize(tmp_path / "cells.h5ad", tmp_path / "stated.dataset", depth="n_counts", keep_counts=True)


@pytest.mark.parametrize("n_counts", [0.0, 3.0, np.nan, -5.0, np.inf, "many"])
def test_a_wrong_n_counts(n_counts: Any, tmp_path: Path, out: Path) -> None:
    adata = cells()
    stated = adata.obs["n_counts"].astype(object)
    stated.iloc[1] = n_counts
    adata.obs["n_counts"] = stated.astype(str) if isinstance(n_counts, str) else stated.astype(float)
    path = write(adata, tmp_path / "cells.h5ad")
    words = ["cells.h5ad", "n_counts"] + ([] if isinstance(n_counts, str) else [f"cell {adata.obs_names[1]}"])
    with refused(NotCountsError, *words, out=out):
        tokenize(path, out, keep_counts=True)
    assert tokens(path, out, keep_counts=True, depth="computed") == expected(adata)


YES = {
    "bool": [True, False],
    "int": [1, 0],
    "float": [1.0, 0.0],
    "text": ["1", "0"],
    "words": ["True", "False"],
    "category": pd.Categorical(["1", "0"]),
    "nullable bool": pd.array([True, False], "boolean"),
    "nullable int": pd.array([1, 0], "Int64"),
}


@pytest.mark.parametrize("kind", YES)
def test_a_filter_of_any_kind(kind: str, tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.obs["filter_pass"] = pd.Series(YES[kind]).iloc[[0, 1, 1, 0, 0, 1]].to_numpy()
    if kind.startswith("nullable") or kind == "category":
        adata.obs["filter_pass"] = adata.obs["filter_pass"].astype(pd.Series(YES[kind]).dtype)
    want = expected(adata)
    assert tokens(write(adata, tmp_path / "cells.h5ad"), out, filter="filter_pass") == [want[i] for i in (0, 3, 4)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, 0, np.nan, 1, np.nan, 1], ["2 cells"]),
        (pd.array([True, None, True, True, True, True], "boolean"), ["1 cells"]),
        (["pass", "fail"] * 3, ["pass"]),
        ([0, 1, 2, 0, 1, 2], ["2"]),
    ],
)
def test_a_filter_that_does_not_say_yes_or_no(values: Any, words: list[str], tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.obs["filter_pass"] = values
    path = write(adata, tmp_path / "cells.h5ad")
    with refused(NotCountsError, "cells.h5ad", "filter_pass", *words, out=out):
        tokenize(path, out, filter="filter_pass")


def test_categorical_and_nullable_columns_keep_their_meaning(tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.obs["kind"] = pd.Categorical(["b", "a", None, "b", "a", "b"])
    adata.obs["donor"] = pd.array([1, None, 3, 4, 5, 6], "Int64")
    adata.obs["fresh"] = pd.array([True, None, False, True, True, False], "boolean")
    adata.obs["age"] = [1.5, np.nan, 3, 4, 5, 6]
    names = ["kind", "donor", "fresh", "age"]
    tokenize(write(adata, tmp_path / "cells.h5ad"), out, attrs={name: name for name in names})
    found = rows(out)
    assert {name: found.features[name].dtype for name in names} == {
        "kind": "string", "donor": "int64", "fresh": "bool", "age": "float64",
    }  # fmt: skip
    assert list(found["kind"]) == ["b", "a", None, "b", "a", "b"]
    assert list(found["donor"]) == [1, None, 3, 4, 5, 6]
    assert list(found["fresh"]) == [True, None, False, True, True, False]
    assert np.isnan(list(found["age"])[1])
    assert found.column_names == ["input_ids", *names, "length"]


def test_an_attribute_that_is_not_there(tmp_path: Path, out: Path) -> None:
    path = write(cells(), tmp_path / "cells.h5ad")
    with refused(OptionError, "cells.h5ad", "organ", "shard", out=out):
        tokenize(path, out, attrs={"organ": "organ"})


# -- on the command line --------------------------------------------------------------------------------------------


def _log(file: h5py.File) -> None:
    file["X/data"][:] = np.log1p(file["X/data"][:])


COMMANDS: dict[str, tuple[Callable[[h5py.File], None] | None, list[str], str]] = {
    "log values": (_log, [], "not raw counts"),
    "no such preset": (None, ["--preset", "geneformer-v9"], "geneformer-v1"),
    "no medians": (None, ["--preset", "geneformer-v2"], "median"),
    "reserved name": (None, ["--attrs", "cell_id:length"], "length"),
    "no such filter": (None, ["--filter", "passed"], "passed"),
    "no such layer": (None, ["--layer", "counts"], "counts"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_mistake_is_one_line_and_exit_code_2(
    case: str, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, options, word = COMMANDS[case]
    path = write(cells(), tmp_path / "cells.h5ad", spoil)
    preset = [] if "--preset" in options else ["--preset", "geneformer-v1"]
    assert main(["corpus", "tokenize", str(path), *preset, *options, "-o", str(out)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert error[0].startswith("error: ")
    assert word in error[0]
    assert not out.exists()


def test_the_command_writes_the_same_tokens(tmp_path: Path, out: Path) -> None:
    path = write(cells(), tmp_path / "cells.h5ad")
    assert main(["corpus", "tokenize", str(path), "--preset", "geneformer-v1", "-o", str(out)]) == 0
    assert [list(ids) for ids in rows(out)["input_ids"]] == expected(cells())
