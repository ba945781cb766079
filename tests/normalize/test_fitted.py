"""A fit in a file: it comes back as it was, and a file from elsewhere can do nothing."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle import __version__
from corpuscle.counts import Counts, MemorySource
from corpuscle.counts._identity import gene_hash
from corpuscle.errors import MethodError, SourceError
from corpuscle.normalize import load_fitted, normalizer, save_fitted


@pytest.fixture(scope="module")
def counts() -> Counts:
    x_ng = np.random.default_rng(0).poisson(3, (40, 12))
    var = pd.DataFrame(index=[f"g{i}" for i in range(12)])
    return Counts([MemorySource(sp.csr_matrix(x_ng), pd.DataFrame(index=[f"s{i}" for i in range(40)]), var)])


@pytest.fixture
def saved(counts: Counts, tmp_path: Path) -> Path:
    save_fitted(normalizer("log2_qn").fit(counts), tmp_path / "fit.npz", counts)
    return tmp_path / "fit.npz"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("log2_qn", {}),
        ("log2_qn", {"zero": "keep"}),
        ("log2_qn", {"preset": "reference", "lengths": {"g1": 10, "g5": 7.5}}),
        ("log2_qn", {"preset": "reference", "lengths": pd.Series({"g1": 10, "g5": 7.5})}),
        ("log1p_pf", {}),
        ("pearson_analytic", {"theta": 50}),
        ("tfidf", {}),
        ("quantile", {}),
    ],
)
def test_it_comes_back_as_it_was(name: str, params: dict, counts: Counts, tmp_path: Path) -> None:
    method = normalizer(name, **params).fit(counts.view(cells=np.arange(30)))
    save_fitted(method, tmp_path / "fit.npz", counts.view(cells=np.arange(30)), key="mine")
    again, info = load_fitted(tmp_path / "fit.npz")
    assert type(again) is type(method)
    expected, got = method.transform(counts), again.transform(counts)
    np.testing.assert_array_equal(*(v.toarray() if sp.issparse(v) else v for v in (expected, got)))
    assert (info.method, info.n, info.version, info.key) == (name, 30, __version__, "mine")
    assert info.genes == list(counts.var_names) and info.hash == gene_hash(counts.var_names)
    assert info.sources == [{"name": "AnnData", "size": None, "mtime": None, "sha256": None}]


def test_nothing_is_pickled(saved: Path) -> None:
    with np.load(saved, allow_pickle=False) as stored:
        assert all(stored[name].dtype.kind in "biuf" for name in stored.files)


def test_what_knows_only_its_cells_is_not_saved(counts: Counts, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="only for these cells"):
        save_fitted(normalizer("magic"), tmp_path / "fit.npz", counts)
    with pytest.raises(MethodError, match="call fit before saving"):
        save_fitted(normalizer("log2_qn"), tmp_path / "fit.npz", counts)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_stored_is_named(counts: Counts, tmp_path: Path) -> None:
    method = normalizer("log2_qn").fit(counts)
    method.strange_ = object()
    with pytest.raises(MethodError, match="strange_ is a object, which cannot be saved"):
        save_fitted(method, tmp_path / "fit.npz", counts)


# -- files from elsewhere ------------------------------------------------------------------------------------


def rewritten(saved: Path, **changes: object) -> Path:
    """The file with some of its description changed."""
    with np.load(saved) as stored:
        arrays = {name: stored[name] for name in stored.files}
    about = json.loads(arrays.pop("about").tobytes()) | changes
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    other = saved.with_name("other.npz")
    np.savez(other, **arrays)
    return other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "another"}, "something else"),
        ({"method": "os:system"}, "no method is called 'os:system'"),
        ({"params": {"shell": {"value": 1}}}, "no parameter 'shell'"),
        ({"params": 3}, "lacks or garbles"),
        ({"learnt": {"__class__": {"value": 1}}}, "cannot be something learnt"),
        ({"learnt": {"fit": {"value": 1}}}, "cannot be something learnt"),
        ({"learnt": {"target_g_": {"array": "missing"}}}, "lacks or garbles 'missing'"),
        ({"genes": ["g0"]}, "genes are not those it was written with"),
        ({"sources": None}, "lacks or garbles"),
    ],
)
def test_a_changed_description_is_refused(changes: dict, message: str, saved: Path) -> None:
    with pytest.raises(SourceError, match=message):
        load_fitted(rewritten(saved, **changes))


def test_damaged_files_are_one_line(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    cases = {"cut": whole[: len(whole) // 2], "text": b"hello", "empty": b"", "flipped": bytearray(whole)}
    cases["flipped"][200] ^= 0xFF
    for name, content in cases.items():
        (tmp_path / name).write_bytes(bytes(content))
        with pytest.raises(SourceError, match="is not a saved fit, or is damaged"):
            load_fitted(tmp_path / name)
    with pytest.raises(SourceError, match="there is no such file"):
        load_fitted(tmp_path / "none.npz")
    with pytest.raises(SourceError, match="cannot be read"):
        load_fitted(tmp_path)


def test_pickles_and_bombs_are_refused(tmp_path: Path, monkeypatch) -> None:
    np.savez(tmp_path / "pickle.npz", about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(SourceError, match="damaged"):
        load_fitted(tmp_path / "pickle.npz")
    monkeypatch.setattr("corpuscle.normalize._fitted.MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("about.npy", bytes(10_000))
    with pytest.raises(SourceError, match="unpacks to more than a fit can be"):
        load_fitted(tmp_path / "bomb.npz")
