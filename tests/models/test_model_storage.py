"""A stored model: what comes back, what is refused, and what is never lost."""

from __future__ import annotations

import json
import pickle
from contextlib import nullcontext

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from corpuscle.errors import GeneError, MethodError, OutputError, SourceError  # noqa: E402
from corpuscle.models import _storage  # noqa: E402
from corpuscle.models._genes import InputWarning, align, match_genes  # noqa: E402
from corpuscle.models._storage import CARD, WEIGHTS, read_model, save_model  # noqa: E402

STATE = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(7)}
ABOUT = {"genes": ["a", "b"], "history": [1.0, None]}


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "model", kind="Toy", state=STATE, about=ABOUT)
    return tmp_path / "model"


def one_line(error):
    text = str(error.value)
    assert "\n" not in text and len(text) < 500
    return text


def edit(folder, **changes):
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | changes))


def test_what_was_stored_comes_back_from_two_files_that_run_no_code(folder):
    state, about = read_model(folder, "Toy")
    assert about == ABOUT
    assert state.keys() == STATE.keys() and all(torch.equal(state[name], STATE[name]) for name in STATE)
    assert {path.name for path in folder.iterdir()} == {CARD, WEIGHTS}
    assert [path.name for path in folder.parent.iterdir()] == ["model"], "nothing is left beside it"


def test_tensors_that_share_memory_are_stored(tmp_path):
    one = torch.zeros(3)
    save_model(tmp_path / "m", kind="Toy", state={"a": one, "b": one[:2]}, about={})
    assert read_model(tmp_path / "m", "Toy")[0]["b"].shape == (2,)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("code in a stored model was run",))


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-4]), "truncated"),
        (lambda f: (f / WEIGHTS).unlink(), "missing"),
        (lambda f: (f / CARD).unlink(), "not a model"),
        (lambda f: (f / CARD).write_text("{"), "JSON"),
        (lambda f: (f / CARD).write_text("[" * 100_000), "JSON"),
        (lambda f: (f / CARD).write_bytes(b"\xff\xfe"), "JSON"),
        (lambda f: (f / CARD).write_text("[]"), "not the card"),
        (lambda f: edit(f, kind="Other"), "Other"),
        (lambda f: edit(f, format=99), "update"),
        (lambda f: edit(f, about=None), "nothing about"),
    ],
)
def test_a_damaged_folder_is_one_line(folder, damage, word):
    damage(folder)
    with pytest.raises(SourceError) as error:
        read_model(folder, "Toy")
    assert word in one_line(error)


@pytest.mark.parametrize("content", [pickle.dumps(Evil()), b"", b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}"])
def test_foreign_weights_are_refused_even_with_the_right_hash(folder, content):
    (folder / WEIGHTS).write_bytes(content)
    edit(folder, weights_sha256=_storage._sha256(folder / WEIGHTS))
    with pytest.raises(SourceError) as error:
        read_model(folder, "Toy")
    assert "safetensors" in one_line(error)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    save_model(tmp_path / "m", kind="Toy", state={"w": torch.tensor([1.0, float("nan")])}, about={})
    with pytest.raises(SourceError, match="not finite"):
        read_model(tmp_path / "m", "Toy")


def test_a_model_is_replaced_only_when_asked_and_anything_else_never(folder, tmp_path):
    with pytest.raises(OutputError, match="already"):
        save_model(folder, kind="Toy", state=STATE, about={})
    save_model(folder, kind="Toy", state=STATE, about={"new": 1}, overwrite=True)
    assert read_model(folder, "Toy")[1] == {"new": 1}
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work")
    with pytest.raises(OutputError, match="not a model"):
        save_model(tmp_path / "thesis", kind="Toy", state=STATE, about={}, overwrite=True)
    with pytest.raises(OutputError, match="no folder"):
        save_model(tmp_path / "no" / "m", kind="Toy", state=STATE, about={})
    assert (tmp_path / "thesis" / "chapter").exists()


def test_a_failed_write_leaves_the_old_model_and_nothing_else(folder, monkeypatch):
    def full(path, state):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_storage, "_write_weights", full)
    with pytest.raises(OutputError, match="No space"):
        save_model(folder, kind="Toy", state=STATE, about={}, overwrite=True)
    assert read_model(folder, "Toy")[1] == ABOUT
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_without_safetensors_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(_storage, "find_spec", lambda name: None)
    for act in (
        lambda: save_model(tmp_path / "m", kind="Toy", state=STATE, about={}),
        lambda: read_model(tmp_path, "Toy"),
    ):
        with pytest.raises(MethodError, match=r"corpuscle\[models\]"):
            act()
    assert list(tmp_path.iterdir()) == []


@given(st.data())
def test_aligned_columns_are_those_of_their_names(data):
    names = data.draw(st.lists(st.sampled_from([f"g{i}" for i in range(12)]), unique=True, min_size=4))
    wanted = data.draw(st.permutations(names)) + ["absent"] * data.draw(st.booleans())
    x = np.array(data.draw(st.lists(st.lists(st.integers(0, 2), min_size=len(names), max_size=len(names)), min_size=1)))
    with pytest.warns(InputWarning) if "absent" in wanted else nullcontext():
        got = align(sp.csr_matrix(x), names, wanted)
    expected = [x[:, names.index(name)] if name in names else np.zeros(len(x)) for name in wanted]
    np.testing.assert_array_equal(got.x_ng.toarray(), np.column_stack(expected))
    assert got.x_ng.has_sorted_indices
    assert got.missing == [name for name in wanted if name == "absent"]


def test_genes_that_are_missing_ambiguous_or_of_another_species_are_told_apart():
    wanted = ["CD3E", "CD8A", "MS4A1", "LYZ"]
    with pytest.warns(InputWarning, match=r"1 of the model's 4 genes are missing \(LYZ, ...\).*75.0%"):
        assert match_genes(wanted[:3], wanted).share_present == 0.75
    with pytest.raises(GeneError, match="only 1 of the model's 4 genes"):
        match_genes(["LYZ", "other"], wanted)
    with pytest.raises(GeneError, match="differ only in capitals"):
        match_genes(["Cd3e", "Cd8a", "Ms4a1", "Lyz"], wanted)
    with pytest.raises(GeneError, match="LYZ of the model is there more than once"):
        match_genes([*wanted, "LYZ"], wanted)
    assert match_genes([*wanted, "X", "X"], wanted).missing == [], "a repeat that nobody asks for does no harm"
