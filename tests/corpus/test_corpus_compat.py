"""Geneformer's tokenizer by name and arguments: same tokens, same columns, and no silence."""

from __future__ import annotations

import hashlib
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from small_cells import GOLDEN, cells, expected, refused, rows, v1, write
from test_corpus_reference_defects import loom

import datasets
from corpuscle.corpus.compat import TranscriptomeTokenizer
from corpuscle.corpus.manifest import read_manifest
from corpuscle.corpus.tokenize import tokenize
from corpuscle.corpus.verify import verify
from corpuscle.errors import GeneError, NotCountsError, OptionError, OutputError, SourceError

EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


def sha256(found: datasets.Dataset) -> str:
    ids = found.with_format("numpy")["input_ids"]
    return hashlib.sha256(np.concatenate([np.asarray(one, "<i4") for one in ids]).tobytes()).hexdigest()


def tokenized(folder: Path, tk: TranscriptomeTokenizer, **options: Any) -> datasets.Dataset:
    """What the tokenizer makes of the h5ad files in ``folder/in``."""
    tk.tokenize_data(folder / "in", folder / "out", "cells", **{"file_format": "h5ad", **options})
    return rows(folder / "out" / "cells.dataset")


@pytest.fixture(scope="module")
def golden() -> ad.AnnData:
    return ad.read_h5ad(GOLDEN / "input.h5ad")


def dictionaries(folder: Path, *specials: str) -> dict[str, Path]:
    """V1's dictionaries as the original pickles: numpy scalars in a plain dictionary."""
    genes = v1().gene_ids
    token = dict(zip(genes, map(np.int16, v1().tokens_g), strict=True))
    token |= {name: np.int16(number) for name, number in v1().specials.items()}
    token |= {name: np.int16(v1().size + i) for i, name in enumerate(specials)}
    contents = {
        "gene_median_file": dict(zip(genes, map(np.float64, v1().medians_g), strict=True)),
        "token_dictionary_file": token,
        "gene_mapping_file": {gene: gene for gene in genes},
    }
    paths = {name: folder / f"{name}.pkl" for name in contents}
    for name, path in paths.items():
        path.write_bytes(pickle.dumps(contents[name], protocol=4))
    return paths


def test_the_constructor_and_tokenize_data_take_what_the_original_takes() -> None:
    names = list(inspect.signature(TranscriptomeTokenizer).parameters)
    assert names == [
        "custom_attr_name_dict", "nproc", "chunk_size", "model_input_size", "special_token", "collapse_gene_ids",
        "use_h5ad_index", "keep_counts", "model_version", "gene_median_file", "token_dictionary_file", "gene_mapping_file",
    ]  # fmt: skip
    parameters = inspect.signature(TranscriptomeTokenizer.tokenize_data).parameters
    assert {name: one.default for name, one in list(parameters.items())[4:]} == {
        "file_format": "loom", "input_identifier": "", "use_generator": False, "restart": False,
    }  # fmt: skip
    assert list(parameters)[1:4] == ["data_directory", "output_directory", "output_prefix"]


def test_the_golden_tokens_of_v1(golden: ad.AnnData, tmp_path: Path) -> None:
    write(golden, tmp_path / "in" / "golden.h5ad")
    tk = TranscriptomeTokenizer({"cell_id": "cell"}, nproc=4, chunk_size=64, model_version="V1")
    found = tokenized(tmp_path, tk, use_generator=True)
    assert sha256(found) == EXPECTED["v1_2048"]["sha256"]
    assert list(found["cell"]) == list(golden.obs_names)
    assert found.column_names == ["input_ids", "cell", "length"]
    assert found.features["length"].dtype == "int64"
    assert found.features["input_ids"].feature.dtype == "int16"
    assert list(found["length"]) == [len(ids) for ids in found["input_ids"]]
    assert not verify(tmp_path / "out" / "cells.dataset").problems


def test_the_golden_tokens_with_special_tokens_and_counts(golden: ad.AnnData, tmp_path: Path) -> None:
    write(golden, tmp_path / "in" / "golden.h5ad")
    paths = dictionaries(tmp_path, "<cls>", "<eos>")
    tk = TranscriptomeTokenizer(model_input_size=512, special_token=True, keep_counts=True, **paths)
    found = tokenized(tmp_path, tk)
    want = EXPECTED["special_512_counts"]
    assert sha256(found) == want["sha256"]
    assert found.column_names == ["input_ids", "counts", "length"]
    np.testing.assert_allclose(found[0]["counts"], want["counts_first_cell"], rtol=1e-12)
    assert found.features["input_ids"].feature.dtype == "int64"


def test_the_golden_tokens_with_a_mapping_file(golden: ad.AnnData, tmp_path: Path) -> None:
    renamed = golden.copy()
    renamed.var["ensembl_id"] = renamed.var["ensembl_id_alias"]
    write(renamed, tmp_path / "in" / "golden.h5ad")
    paths = dictionaries(tmp_path)
    aliases = pd.read_csv(GOLDEN / "alias_map.tsv", sep="\t")
    mapping = {gene: gene for gene in v1().gene_ids} | dict(aliases.itertuples(index=False))
    paths["gene_mapping_file"].write_bytes(pickle.dumps(mapping))
    tk = TranscriptomeTokenizer(model_input_size=2048, special_token=False, **paths)
    assert sha256(tokenized(tmp_path, tk)) == EXPECTED["alias_collapse_2048"]["sha256"]


def test_the_golden_tokens_of_cells_that_pass(golden: ad.AnnData, tmp_path: Path) -> None:
    golden = golden.copy()
    golden.obs["filter_pass"] = golden.obs["golden_filter"]
    write(golden, tmp_path / "in" / "golden.h5ad")
    found = tokenized(tmp_path, TranscriptomeTokenizer(model_version="V1"))
    assert (sha256(found), len(found)) == (EXPECTED["filter_2048"]["sha256"], EXPECTED["filter_2048"]["cells"])


def test_v1_overrides_length_special_tokens_and_dictionaries(tmp_path: Path) -> None:
    tk = TranscriptomeTokenizer(
        model_version="V1", model_input_size=64, special_token=True, gene_median_file=tmp_path / "none.pkl"
    )
    assert (tk.model_input_size, tk.special_token) == (2048, False)
    assert (tk.vocabulary.max_len, tk.vocabulary.special_token) == (2048, False)
    assert len(tk.gene_token_dict) == 25426
    assert len(tk.gene_median_dict) == 25424


def test_v2_asks_for_the_medians() -> None:
    with pytest.raises(OptionError, match=r"median"):
        TranscriptomeTokenizer()


def test_an_unknown_model_version() -> None:
    with pytest.raises(OptionError, match=r"'V3'.*V1, V2"):
        TranscriptomeTokenizer(model_version="V3")


def test_special_tokens_that_the_dictionary_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="<cls>"):
        TranscriptomeTokenizer(special_token=True, **dictionaries(tmp_path))


def test_a_pickle_that_would_run_something_is_refused_unrun(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    paths = dictionaries(tmp_path)
    paths["gene_median_file"].write_bytes(pickle.dumps({"ENSG00000000003": Hostile()}))
    with pytest.raises(SourceError, match="gene_median_file"):
        TranscriptomeTokenizer(special_token=False, **paths)
    assert not (tmp_path / "ran").exists()


def test_files_come_in_the_order_of_their_names_and_only_those_that_match(tmp_path: Path) -> None:
    every = cells()
    parts = {"b_study.h5ad": every[2:4], "a_study.h5ad": every[:2], "other.h5ad": every[4:]}
    for name, part in parts.items():
        write(part.copy(), tmp_path / "in" / name)
    (tmp_path / "in" / "._a_study.h5ad").write_bytes(b"left by another system")
    (tmp_path / "in" / "study.txt").write_text("notes")
    write(every.copy(), tmp_path / "in" / "inner" / "deep_study.h5ad")
    tk = TranscriptomeTokenizer(model_version="V1")
    found = tokenized(tmp_path, tk, input_identifier="study")
    assert [list(ids) for ids in found["input_ids"]] == expected(every)[:4]
    assert [list(ids) for ids in tokenized(tmp_path, tk)["input_ids"]] == expected(every)


def test_a_filter_in_some_of_the_files(tmp_path: Path) -> None:
    first, second = cells()[:3].copy(), cells()[3:].copy()
    second.obs["filter_pass"] = [1, 0, 1]
    write(first, tmp_path / "in" / "1.h5ad")
    write(second, tmp_path / "in" / "2.h5ad")
    found = tokenized(tmp_path, TranscriptomeTokenizer(model_version="V1"))
    want = expected(cells())
    assert [list(ids) for ids in found["input_ids"]] == [*want[:4], want[5]]


def test_the_index_may_hold_the_ids(tmp_path: Path) -> None:
    adata = cells()
    want = expected(adata)
    adata.var_names = adata.var["ensembl_id"].to_numpy()
    adata.var["ensembl_id"] = "not this"
    write(adata, tmp_path / "in" / "cells.h5ad")
    found = tokenized(tmp_path, TranscriptomeTokenizer(model_version="V1", use_h5ad_index=True))
    assert [list(ids) for ids in found["input_ids"]] == want


def test_a_file_without_ids_is_named(tmp_path: Path) -> None:
    adata = cells()
    adata.var = adata.var[["symbol"]]
    write(adata, tmp_path / "in" / "cells.h5ad")
    with refused(OptionError, "cells.h5ad", "ensembl_id", "use_h5ad_index", out=tmp_path / "out" / "cells.dataset"):
        tokenized(tmp_path, TranscriptomeTokenizer(model_version="V1"))


def test_ids_of_symbols_are_not_guessed(tmp_path: Path) -> None:
    adata = cells()
    adata.var["ensembl_id"] = adata.var["symbol"].to_numpy()
    write(adata, tmp_path / "in" / "cells.h5ad")
    with refused(GeneError, "cells.h5ad", "symbol", out=tmp_path / "out" / "cells.dataset"):
        tokenized(tmp_path, TranscriptomeTokenizer(model_version="V1"))


def test_repeated_ids_are_refused_where_they_may_not_be_added_up(tmp_path: Path) -> None:
    adata = cells()
    known = adata.var["ensembl_id"].isin(v1().gene_ids).to_numpy()
    first, second = np.flatnonzero(known)[:2]
    adata.var["ensembl_id"] = adata.var["ensembl_id"].astype(object)
    gene = adata.var["ensembl_id"].iloc[first]
    adata.var.iloc[second, adata.var.columns.get_loc("ensembl_id")] = gene
    write(adata, tmp_path / "in" / "cells.h5ad")
    with refused(GeneError, "cells.h5ad", gene, out=tmp_path / "out" / "cells.dataset"):
        tokenized(tmp_path, TranscriptomeTokenizer(model_version="V1", collapse_gene_ids=False))
    found = tokenized(tmp_path, TranscriptomeTokenizer(model_version="V1"))
    assert [list(ids) for ids in found["input_ids"]] == expected(adata)


def test_loom_and_zarr_give_the_tokens_of_h5ad(tmp_path: Path) -> None:
    adata = cells()
    (tmp_path / "in").mkdir()
    loom(adata, tmp_path / "in" / "cells.loom")
    adata.write_zarr(tmp_path / "in" / "cells.zarr")
    tk = TranscriptomeTokenizer(model_version="V1", keep_counts=True)
    by_format = [tokenized(tmp_path, tk, file_format=kind) for kind in ("loom", "zarr")]
    for found in by_format:
        assert [list(ids) for ids in found["input_ids"]] == expected(adata)
    assert list(by_format[0]["counts"]) == list(by_format[1]["counts"])


def test_n_counts_is_not_needed(tmp_path: Path) -> None:
    adata = cells()
    del adata.obs["n_counts"]
    write(adata, tmp_path / "in" / "cells.h5ad")
    found = tokenized(tmp_path, TranscriptomeTokenizer(model_version="V1"))
    assert [list(ids) for ids in found["input_ids"]] == expected(adata)


def test_a_dot_in_the_prefix_stays_and_the_folder_is_made(tmp_path: Path) -> None:
    write(cells(), tmp_path / "in" / "cells.h5ad")
    TranscriptomeTokenizer(model_version="V1").tokenize_data(
        tmp_path / "in", tmp_path / "new" / "deep", "v1.2", file_format="h5ad"
    )
    assert read_manifest(tmp_path / "new" / "deep" / "v1.2.dataset")["rows"] == 6


@pytest.mark.parametrize("prefix", ["", "../up", "a/b", "."])
def test_a_prefix_is_a_plain_name(prefix: str, tmp_path: Path) -> None:
    write(cells(), tmp_path / "in" / "cells.h5ad")
    with pytest.raises(OptionError, match="plain file name"):
        TranscriptomeTokenizer(model_version="V1").tokenize_data(
            tmp_path / "in", tmp_path / "out", prefix, file_format="h5ad"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_earlier_data_set_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    path = write(cells(), tmp_path / "in" / "cells.h5ad")
    tk = TranscriptomeTokenizer(model_version="V1")
    tokenized(tmp_path, tk)
    bad = cells()
    bad.X.data[-1] = -1
    write(bad, path)
    with pytest.raises(NotCountsError):
        tokenized(tmp_path, tk)
    out = tmp_path / "out" / "cells.dataset"
    assert [list(ids) for ids in rows(out)["input_ids"]] == expected(cells())
    write(cells()[:2].copy(), path)
    assert len(tokenized(tmp_path, tk)) == 2


def test_what_another_run_has_left_is_thrown_away_on_request(tmp_path: Path) -> None:
    path = tmp_path / "in" / "cells.h5ad"
    out = tmp_path / "out" / "cells.dataset"
    out.parent.mkdir()
    whole = ad.concat([cells()] * 60, index_unique="-", merge="same")
    whole.X.data[-1] = -1
    with pytest.raises(NotCountsError):
        tokenize(write(whole, path), out, shard_cells=100)
    write(cells(), path)
    tk = TranscriptomeTokenizer(model_version="V1")
    with refused(OutputError, "restart", out=out):
        tokenized(tmp_path, tk)
    assert [list(ids) for ids in tokenized(tmp_path, tk, restart=True)["input_ids"]] == expected(cells())
    assert [one.name for one in out.parent.iterdir()] == [out.name]


def test_something_else_of_that_name_is_not_touched(tmp_path: Path) -> None:
    write(cells(), tmp_path / "in" / "cells.h5ad")
    out = tmp_path / "out" / "cells.dataset"
    out.mkdir(parents=True)
    (out / "thesis.tex").write_text("dear reader")
    with pytest.raises(OutputError, match=r"no data set"):
        tokenized(tmp_path, TranscriptomeTokenizer(model_version="V1"))
    assert (out / "thesis.tex").read_text() == "dear reader"


@pytest.mark.parametrize(
    ("folder", "options", "word"),
    [("in", {"file_format": "zarr"}, "*.zarr"), ("in", {"input_identifier": "none"}, "*none*"), ("gone", {}, "gone")],
)
def test_no_file_found(folder: str, options: dict[str, str], word: str, tmp_path: Path) -> None:
    write(cells(), tmp_path / "in" / "cells.h5ad")
    tk = TranscriptomeTokenizer(model_version="V1")
    with refused(SourceError, word, out=tmp_path / "out"):
        tk.tokenize_data(tmp_path / folder, tmp_path / "out", "cells", **{"file_format": "h5ad", **options})


def test_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="loom, h5ad, zarr"):
        TranscriptomeTokenizer(model_version="V1").tokenize_data(tmp_path, tmp_path, "x", file_format="csv")
