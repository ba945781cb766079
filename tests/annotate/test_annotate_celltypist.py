"""CellTypist's models: the library's own numbers from its file, and nothing in a file is ever run."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import sys
import tracemalloc
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.preprocessing import StandardScaler

from corpuscle.annotate._expression import open_expression
from corpuscle.annotate.sources import _pickled_model
from corpuscle.annotate.sources._celltypist_model import read_celltypist_model
from corpuscle.annotate.sources._pickled_model import read_pickled_model
from corpuscle.annotate.sources._pickled_parts import Record
from corpuscle.annotate.sources.celltypist import celltypist_scores
from corpuscle.counts.genes import GeneTable
from corpuscle.datasets import bundled_path
from corpuscle.errors import GeneError, OptionError, SourceError

GOLDEN = Path(__file__).parent / "golden"
MODELS = ("logistic", "sgd", "binary", "nomean")
GENES = [f"GENE{i}" for i in range(12)]


def model_path(name: str) -> Path:
    return GOLDEN / f"celltypist_{name}.pkl"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "celltypist_scores.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def logged() -> ad.AnnData:
    """The first 40 cells of the bundled set as log expression."""
    with open_expression(bundled_path("pbmc_1k_v3")) as expression:
        x_ng = expression.to_csr()[:40]
        return ad.AnnData(
            x_ng, obs=pd.DataFrame(index=list(expression.cells[:40])), var=pd.DataFrame(index=expression.genes)
        )


def made(
    tmp_path: Path, *, types=("A", "B", "C"), genes=GENES, seed=0, mean=None, scale=None, protocol=4, **classifier
):
    """A model file of random coefficients, and what is in it."""
    rng = np.random.default_rng(seed)
    rows = 1 if len(types) == 2 else len(types)
    model = LogisticRegression()
    model.classes_ = np.array(types)
    model.features = np.array(genes, dtype=object)
    model.coef_, model.intercept_ = rng.normal(size=(rows, len(genes))), rng.normal(size=rows)
    for name, value in classifier.items():
        setattr(model, name, value)
    scaler = StandardScaler()
    scaler.mean_ = rng.uniform(0, 2, len(genes)) if mean is None else mean
    scaler.scale_ = rng.uniform(0.5, 2, len(genes)) if scale is None else scale
    path = tmp_path / "made.pkl"
    path.write_bytes(pickle.dumps({"Model": model, "Scaler_": scaler, "description": {"date": "2025"}}, protocol))
    return path, model, scaler


def counts_of(genes=GENES, n=30, seed=1) -> ad.AnnData:
    x = np.random.default_rng(seed).poisson(2.0, size=(n, len(genes))).astype(np.int32)
    x[:, 0] += 1
    cells = [f"c{i}" for i in range(n)]
    return ad.AnnData(sp.csr_matrix(x), obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=list(genes)))


def log_cp10k(x: np.ndarray) -> np.ndarray:
    return np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)


def refused(data: bytes, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        read_pickled_model(data, source="model.pkl")
    assert str(caught.value).startswith("model.pkl: ")
    assert "\n" not in str(caught.value)


# -- the library's numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["decision", "probability"])
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_the_library(name: str, kind: str, golden) -> None:
    found = celltypist_scores(bundled_path("pbmc_1k_v3"), model_path(name), kind=kind)
    np.testing.assert_allclose(found.values_nk[:40], golden[f"{name}_all_{kind}"], rtol=1e-5, atol=1e-5)
    assert list(found.cells[:40]) == list(golden["cells"])
    assert found.types == (("B cell", "monocyte") if name == "binary" else tuple(golden["types"]))
    assert found.about["n_shared_genes"] == found.about["n_exact_names"] == 40
    assert found.about["description"]["details"] == f"golden {name}"


@pytest.mark.parametrize("name", MODELS)
def test_genes_that_are_missing_are_left_out_as_in_the_library(name: str, golden, logged) -> None:
    few = logged[:, ~np.isin(logged.var_names, golden["left_out"])].copy()
    found = celltypist_scores(few, model_path(name), logged=True)
    np.testing.assert_allclose(found.values_nk, golden[f"{name}_few_decision"], rtol=1e-5, atol=1e-5)
    assert found.about["n_shared_genes"] == 30
    assert not np.allclose(found.values_nk, golden[f"{name}_all_decision"], atol=0.01)


def test_types_have_their_ontology_ids(logged) -> None:
    found = celltypist_scores(logged, model_path("logistic"), logged=True)
    assert found.cl_ids == ("CL:0000236", "CL:0000084", "CL:0000576", "CL:0000623")


def test_the_pickles_of_the_test_are_what_python_reads() -> None:
    for name in MODELS:
        with model_path(name).open("rb") as file:  # our own file
            model = pickle.load(file)
        found = read_celltypist_model(model_path(name))
        assert found.genes == tuple(model["Model"].features)
        assert found.types == tuple(model["Model"].classes_)
        np.testing.assert_array_equal(found.coef_kg[-len(model["Model"].coef_) :], model["Model"].coef_)
        np.testing.assert_array_equal(found.scale_g, model["Scaler_"].scale_)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_gives_the_same_model(protocol: int, tmp_path: Path) -> None:
    genes = np.array(GENES)  # fixed-width text, where the golden models have objects
    path, model, scaler = made(tmp_path, protocol=protocol, features=genes, coef_=np.asfortranarray(np.eye(3, 12)))
    found = read_celltypist_model(path)
    assert found.genes == tuple(GENES)
    np.testing.assert_array_equal(found.coef_kg, np.eye(3, 12))
    np.testing.assert_array_equal(found.mean_g, scaler.mean_)
    np.testing.assert_array_equal(found.intercept_k, model.intercept_)
    assert found.description == {"date": "2025"}


def test_classes_that_scikit_learn_no_longer_has_do_no_harm(tmp_path: Path, monkeypatch) -> None:
    import sklearn.linear_model._sgd_fast as module

    class Log:
        def __reduce__(self):
            return Log, ()

    Log.__module__, Log.__qualname__ = module.__name__, "Log"
    monkeypatch.setattr(module, "Log", Log, raising=False)
    path, _, _ = made(tmp_path, loss_function_=Log())
    monkeypatch.undo()
    found = read_celltypist_model(path)
    assert found.types == ("A", "B", "C")
    assert b"_sgd_fast" in path.read_bytes()


def test_values_are_cut_at_ten_also_where_a_zero_is_beyond_it(tmp_path: Path) -> None:
    mean = np.linspace(-3, 3, len(GENES))
    path, model, scaler = made(tmp_path, mean=mean, scale=np.full(len(GENES), 0.2))
    counts = counts_of()
    z = (log_cp10k(counts.X.toarray()) - mean) / 0.2
    assert (z > 10).any()
    assert (-mean / 0.2 > 10).any()
    expected = np.minimum(z, 10) @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(celltypist_scores(counts, path).values_nk, expected, rtol=1e-5, atol=1e-4)
    assert scaler.scale_[0] == 0.2


def test_kinds_follow_from_the_decision(tmp_path: Path) -> None:
    path, _, _ = made(tmp_path)
    decision, probability, normalized = (
        celltypist_scores(counts_of(), path, kind=kind).values_nk for kind in ("decision", "probability", "normalized")
    )
    np.testing.assert_allclose(probability, expit(decision), rtol=1e-5)
    np.testing.assert_allclose(normalized, probability / probability.sum(axis=1, keepdims=True), rtol=1e-5)


def test_rows_are_normalized_even_where_nothing_is_likely(tmp_path: Path) -> None:
    path, _, _ = made(tmp_path, intercept_=np.full(3, -5000.0))
    np.testing.assert_allclose(celltypist_scores(counts_of(), path, kind="normalized").values_nk, 1 / 3, rtol=1e-5)


def test_a_cell_has_the_same_scores_alone_as_among_others(tmp_path: Path) -> None:
    path, _, _ = made(tmp_path)
    counts = counts_of()
    some = celltypist_scores(counts[10:13].copy(), path)
    np.testing.assert_array_equal(some.values_nk, celltypist_scores(counts, path).values_nk[10:13])


# -- genes -------------------------------------------------------------------------------------------------------------


def test_ensembl_ids_are_matched_by_symbol(golden, logged) -> None:
    ids = GeneTable.human().symbols_to_ids(list(logged.var_names)).mapped
    renamed = logged.copy()
    renamed.var_names = [name if one is None else one for name, one in zip(logged.var_names, ids, strict=True)]
    found = celltypist_scores(renamed, model_path("logistic"), logged=True)
    assert found.about["n_shared_genes"] == 40
    assert found.about["n_exact_names"] == 0
    np.testing.assert_allclose(found.values_nk, golden["logistic_all_decision"], atol=1e-5)


def test_a_gene_that_is_there_twice_is_used_once(tmp_path: Path) -> None:
    path, _, _ = made(tmp_path)
    counts = counts_of()
    logs = ad.AnnData(sp.csr_matrix(log_cp10k(counts.X.toarray()).astype(np.float32)), obs=counts.obs, var=counts.var)
    doubled = ad.concat([logs, logs], axis=1, merge="first")
    twice = celltypist_scores(doubled, path, logged=True)
    np.testing.assert_array_equal(twice.values_nk, celltypist_scores(logs, path, logged=True).values_nk)
    # Two genes of the model that mean the same column: the one of that very name has it.
    both, _, _ = made(tmp_path, genes=["gene0", *GENES])
    found = celltypist_scores(counts, both)
    assert found.about["n_shared_genes"] == found.about["n_exact_names"] == len(GENES)


def test_too_few_genes_are_an_error_with_both_numbers(tmp_path: Path) -> None:
    path, _, _ = made(tmp_path)
    with pytest.raises(GeneError, match=r"has 0 of the 12 genes of made\.pkl"):
        celltypist_scores(counts_of([f"OTHER{i}" for i in range(12)]), path, min_share=0)
    one = counts_of([GENES[0], *[f"OTHER{i}" for i in range(11)]])
    with pytest.raises(GeneError, match="has 1 of the 12 genes"):
        celltypist_scores(one, path)
    found = celltypist_scores(one, path, min_share=0.05)
    assert any("only 1 of the model's 12 genes" in note for note in found.about["notes"])


def test_options_that_do_not_exist(tmp_path: Path) -> None:
    path, _, _ = made(tmp_path)
    with pytest.raises(OptionError, match="'logit' is not one of decision"):
        celltypist_scores(counts_of(), path, kind="logit")
    with pytest.raises(OptionError, match="min_share"):
        celltypist_scores(counts_of(), path, min_share=40)


# -- models that do not fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"coef_": np.full((3, 12), np.nan)}, "coef_ holds NaN"),
        ({"coef_": np.zeros((3, 11))}, "do not fit 3 types and 12 genes"),
        ({"coef_": np.array([["a"] * 12] * 3)}, "coef_ has shape"),
        ({"coef_": [[1.0] * 12] * 3}, "coef_ is not an array"),
        ({"intercept_": np.zeros(2)}, "2 intercepts do not fit"),
        ({"classes_": np.array(["A", "A", "B"])}, "names 'A' 2 times"),
        ({"features": np.array([*GENES[:-1], "GENE0"])}, "names 'GENE0' 2 times"),
        ({"features": np.array([[1], [2]], dtype=object)}, "not a list of names"),
        ({"mean": np.zeros(5)}, "5 means"),
        ({"scale": np.zeros(12)}, "standard deviations"),
    ],
)
def test_models_whose_parts_do_not_fit(change, words: str, tmp_path: Path) -> None:
    path, _, _ = made(tmp_path, **change)
    with pytest.raises(SourceError, match=words):
        read_celltypist_model(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "no CellTypist model"),
        ({"Model": 1}, "no CellTypist model"),
        ({"Model": RidgeClassifier(), "Scaler_": StandardScaler()}, "holds a RidgeClassifier where one of"),
        ({"Model": SGDClassifier(), "Scaler_": None}, "holds a NoneType where one of StandardScaler"),
        ({"Model": SGDClassifier(), "Scaler_": StandardScaler()}, "classes_ is not an array .absent"),
    ],
)
def test_pickles_of_something_else(content, words: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(SourceError, match=words):
        read_celltypist_model(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read_celltypist_model(tmp_path / "absent.pkl")
    with pytest.raises(SourceError, match="no such file"):
        read_celltypist_model(tmp_path)
    (tmp_path / "text.pkl").write_text("not a model")
    with pytest.raises(SourceError, match="not a pickle of protocol 2 to 5"):
        read_celltypist_model(tmp_path / "text.pkl")


# -- hostile files -----------------------------------------------------------------------------------------------------


class Calls:
    """What a pickle that runs a command looks like."""

    def __init__(self, function, *args) -> None:
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nothing_that_a_file_asks_for_is_run(protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "was_here"
    for evil in (
        Calls(os.system, f"touch {mark}"),
        Calls(eval, f"open({str(mark)!r}, 'w')"),
        Calls(shutil.copy, "/a", "/b"),
    ):
        for content in (evil, {"Model": evil, "Scaler_": evil}, {"Model": [({"a": evil},)]}):
            refused(pickle.dumps(content, protocol), "refused: the pickle asks for")
    assert not mark.exists()


def global_of(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def test_names_of_libraries_are_never_imported_nor_called(tmp_path: Path) -> None:
    mark = tmp_path / "was_here"
    module = "sklearn.experimental.enable_iterative_imputer"
    assert module not in sys.modules
    text = f"touch {mark}".encode()
    call = b"X" + struct.pack("<I", len(text)) + text
    for where, name in ((module, "enable"), ("sklearn.utils", "os.system"), ("numpy.os", "system")):
        found = read_pickled_model(b"\x80\x03" + global_of(where, name) + call + b"\x85R.", source="m")
        assert isinstance(found, Record)
        assert found.name == f"{where}.{name}"
    assert module not in sys.modules
    assert not mark.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (global_of("numpy_evil", "x"), "asks for numpy_evil.x"),
        (global_of("builtins", "getattr"), "asks for builtins.getattr"),
        (global_of("sklearn", "x\x1b[31m"), "asks for sklearn.x"),
        (b"\x82\x01", "instruction EXT1"),
        (b"P1\n", "instruction PERSID"),
        (b"\x8c\x01aQ", "instruction BINPERSID"),
        (b"\x97", "instruction NEXT_BUFFER"),
        (b"\xff", "instruction 0xff"),
        (b"K\x01)R.", "calls what is no class"),
        (b"}(K\x01K\x02\x86K\x03u.", "a key of a dictionary is a tuple"),
        (global_of("numpy", "dtype") + b"X\x02\x00\x00\x00V8\x85R.", "NumPy type 'V8'"),
        (global_of("sklearn.x", "A") + b")\x81K\x01bK\x02b.", "damaged"),  # a second state
        (global_of("sklearn.x", "A") + b")\x81)\x81.", "makes an object of what is no class"),
        (b"\x8e" + struct.pack("<Q", 1 << 62), "cut short"),
        (b"\x8d" + struct.pack("<Q", (1 << 64) - 1) + b"x", "cut short"),
        (b"j\xff\xff\xff\xff", "cut short or damaged"),
        (b".", "cut short or damaged"),
        (b"u.", "damaged"),
    ],
)
def test_what_a_model_does_not_need_is_refused(body: bytes, words: str) -> None:
    refused(b"\x80\x04" + body, words)


def array_of(shape: tuple[int, ...], code: bytes, data: bytes) -> bytes:
    """A pickled array of that claimed shape."""
    kind = global_of("numpy", "dtype") + b"X" + struct.pack("<I", len(code)) + code + b"\x89\x88\x87R"
    lengths = b"".join(b"\x8a\x09" + length.to_bytes(9, "little", signed=True) for length in shape)
    empty = global_of("numpy.core.multiarray", "_reconstruct") + global_of("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
    return empty + b"(K\x01(" + lengths + b"t" + kind + b"\x89" + b"B" + struct.pack("<I", len(data)) + data + b"tb"


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ((1 << 40,), b"f8"),
        ((-1,), b"f8"),
        ((1 << 62, 1 << 62), b"f8"),
        ((1,), b"U999999"),
        ((2, 2), b"f8"),
        ((4,), b"O8"),
    ],
)
def test_arrays_that_are_not_of_the_size_they_state_cost_nothing(shape, code: bytes) -> None:
    tracemalloc.start()
    refused(b"\x80\x04" + array_of(shape, code, b"\0" * 8) + b".", "damaged")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert read_pickled_model(b"\x80\x04" + array_of((1,), b"f8", b"\0" * 8) + b".", source="m").array().tolist() == [
        0.0
    ]


def test_a_list_that_is_many_arrays_is_kept_once() -> None:
    n = 20_000
    items = b"](" + b"N" * n + b"e" + b"\x94"  # memo 0
    kind = global_of("numpy", "dtype") + b"X\x01\x00\x00\x00O\x89\x88\x87R\x94"  # memo 1
    state = b"(K\x01M" + struct.pack("<H", n) + b"\x85h\x01\x89h\x00t\x94"  # memo 2
    empty = global_of("numpy.core.multiarray", "_reconstruct") + global_of("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
    data = b"\x80\x04(" + items + kind + state + (empty + b"h\x02b") * 2000 + b"t."
    tracemalloc.start()
    found = read_pickled_model(data, source="m")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[-1].array().shape == (n,)
    assert peak < 8 << 20  # 2,000 copies would be 320 MB


def test_nesting_without_end_ends(tmp_path: Path) -> None:
    read_pickled_model(b"\x80\x04)" + b"\x85" * 100_000 + b".", source="m")
    twice = b"]" + b"\x94" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"e\x94" for i in range(60))
    kind = global_of("numpy", "dtype") + b"X\x01\x00\x00\x00O\x89\x88\x87R"
    empty = global_of("numpy.core.multiarray", "_reconstruct") + global_of("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
    # The list of two lists of two lists ... as the values of an array: never walked.
    found = read_pickled_model(b"\x80\x04" + twice + empty + b"(K\x01K\x02\x85" + kind + b"\x89h\x3ctb.", source="m")
    with pytest.raises(ValueError, match="damaged"):
        found.array()


def test_instructions_are_counted(monkeypatch) -> None:
    monkeypatch.setattr(_pickled_model, "MAX_INSTRUCTIONS", 1000)
    refused(b"\x80\x04" + b"}" * 5000 + b".", "over 1,000 instructions")


def test_a_model_cut_short_anywhere_is_refused() -> None:
    data = model_path("sgd").read_bytes()
    for length in range(len(data)):
        with pytest.raises(SourceError):
            read_pickled_model(data[:length], source="m")


def test_a_damaged_model_is_a_model_or_one_line(tmp_path: Path) -> None:
    data, path = bytearray(model_path("sgd").read_bytes()), tmp_path / "damaged.pkl"
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(400):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), size=rng.integers(1, 4)):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            found = read_celltypist_model(path)
        except SourceError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
        else:
            assert np.isfinite(found.coef_kg).all()
            outcomes.add("read")
    assert outcomes == {"refused", "read"}
