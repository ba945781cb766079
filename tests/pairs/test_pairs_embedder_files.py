"""Stored embeddings and panels: the same bytes, and nothing believed that a file from others says."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.corpus.pairs._block import CellBlock
from corpuscle.corpus.pairs._embed_scvi import ScviLatent
from corpuscle.corpus.pairs.embedders import (
    embedder,
    fit_embedders,
    load_embedder,
    panel_from_expression,
    save_embedder,
)
from corpuscle.errors import GeneError, MethodError, OptionError, OutputError, SourceError

GENES = tuple(f"gene{i:02d}" for i in range(30))


def cells(n=80, seed=0):
    counts_ng = sp.csr_matrix(np.random.default_rng(seed).poisson(np.linspace(0.2, 4, 30), (n, 30)).astype(np.int32))
    log_ng = counts_ng.astype(np.float32)
    np.log1p(log_ng.data * 100, out=log_ng.data)
    return CellBlock(log_ng, counts_ng, GENES, pd.DataFrame(index=[f"c{i}" for i in range(n)]), "made")


def fitted(word):
    return embedder(word).fit(lambda: [cells()])


@pytest.fixture
def panel_file(tmp_path):
    path = tmp_path / "panel.tsv"
    path.write_text("\ufeff# a panel\ngene05\tmore\n\ngene01\r\nabsent,0.3\n", encoding="utf-8")
    return path


def test_a_stored_embedding_gives_the_same_vectors_and_the_same_bytes(tmp_path, panel_file):
    for word in ("hvg:n=12", "pca:n_components=4", f"panel:genes={panel_file}"):
        first, second = fitted(word), fitted(word)
        a, b = save_embedder(first, tmp_path / "a.npz"), save_embedder(second, tmp_path / "b.npz")
        assert a.read_bytes() == b.read_bytes()
        loaded = load_embedder(a)
        assert (loaded.name, loaded.width) == (first.name, first.width)
        np.testing.assert_array_equal(loaded.transform(cells(seed=1)), first.transform(cells(seed=1)))
        save_embedder(loaded, b)
        assert a.read_bytes() == b.read_bytes()


def test_plain_numpy_reads_the_arrays_without_pickle(tmp_path):
    one = fitted("pca:n_components=4")
    with np.load(save_embedder(one, tmp_path / "a.npz"), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["components"], one.components_gd)


def test_what_cannot_be_stored_leaves_no_file(tmp_path):
    with pytest.raises(MethodError, match="fit it on training cells first"):
        save_embedder(embedder("pca"), tmp_path / "a.npz")
    one = fitted("pca:n_components=4")
    one.mean_g = one.mean_g.astype(object)
    with pytest.raises(OutputError, match="cannot be stored"):
        save_embedder(one, tmp_path / "a.npz")
    with pytest.raises(OutputError, match="cannot write"):
        save_embedder(fitted("hvg"), tmp_path / "nowhere" / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_keeps_the_old_file(tmp_path, monkeypatch):
    path = save_embedder(fitted("hvg:n=3"), tmp_path / "a.npz")
    old = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OutputError, match="No space left"):
        save_embedder(fitted("hvg:n=4"), path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


# -- files from others -----------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


def npy(array, **kwargs):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **kwargs)
    return file.getvalue()


def header(shape, rest=b"", descr="<f8", fortran=False):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": fortran, "shape": shape})
    return file.getvalue() + rest


def edited(change):
    """A stored embedding of which some members were changed."""

    def make(folder):
        members = {}
        with zipfile.ZipFile(save_embedder(fitted("pca:n_components=4"), folder / "right.npz")) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        change(members)
        with zipfile.ZipFile(folder / "wrong.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return (folder / "wrong.npz").read_bytes()

    return make


def meta(**changes):
    def change(members):
        value = json.loads(members["meta.json"]) | changes
        members["meta.json"] = json.dumps({k: v for k, v in value.items() if v is not None}).encode()

    return edited(change)


def member(name, data):
    return edited(lambda members: members.update({name: data}))


HOSTILE = {
    "empty": (lambda folder: b"", "not a zip"),
    "pickle": (lambda folder: pickle.dumps(Bomb()), "not a zip"),
    "another zip": (edited(lambda members: members.pop("meta.json")), "is no stored embedding"),
    "object array": (member("mean.npy", npy(np.array([Bomb()], object), allow_pickle=True)), "no float array"),
    "path escape": (member("../x.npy", b""), "'../x.npy'"),
    "absolute path": (member("/tmp/x.npy", b""), "'/tmp/x.npy'"),
    "bomb": (member("mean.npy", bytes(400_000_001)), "more than 400 MB"),
    "huge claim": (member("mean.npy", header((10**12,))), "claims 1,000,000,000,000 values"),
    "overflowing claim": (member("mean.npy", header((2**62, 2**62))), "claims"),
    "negative claim": (member("mean.npy", header((-1, -8), bytes(64))), "no float array"),
    "cut array": (member("mean.npy", header((30,), bytes(80))), "claims 30 values and has 10"),
    "no array": (member("mean.npy", b"hello"), "damaged"),
    "wrong shape": (member("mean.npy", npy(np.ones(29))), r"mean has the shape \(29,\)"),
    "NaN": (member("scale.npy", npy(np.full(30, np.nan))), "NaN"),
    "zero scale": (member("scale.npy", npy(np.zeros(30))), "not above 0"),
    "array missing": (edited(lambda members: members.pop("variance.npy")), "variance is missing"),
    "no JSON": (member("meta.json", b"{"), "damaged"),
    "nested": (member("meta.json", b"[" * 100_000), "nested|damaged"),
    "JSON of NaN": (member("meta.json", b'{"kind": NaN}'), "NaN is no JSON"),
    "no kind": (meta(kind=None), "what embedding"),
    "unknown kind": (meta(kind="scgpt"), "no embedding is called 'scgpt'"),
    "module as kind": (meta(kind="os:system"), "no embedding is called 'os:system'"),
    "kind of control signs": (meta(kind="\x1b[2J"), "no embedding is called"),
    "later format": (meta(format="corpuscle-embedder/9"), "reads corpuscle-embedder/1"),
    "gene twice": (meta(genes=["a"] * 30), "gene a is in the list of genes twice"),
    "gene no word": (meta(genes=[7] * 30), "is no name"),
    "gene of control signs": (meta(genes=["a\x1b[2J", *GENES[1:]]), "is no name"),
    "genes missing": (meta(genes=None), "list of genes"),
    "name of a path": (meta(name="../../x"), "cannot be called"),
    "name no word": (meta(name=["x"]), "cannot be called"),
    "width no number": (meta(width="4"), "width"),
    "width too large": (meta(width=10**9), "components has the shape"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_is_no_stored_embedding_is_refused_in_one_line(case, tmp_path, monkeypatch):
    make, words = HOSTILE[case]
    data = make(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "given.npz"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=words) as caught:
        load_embedder(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_every_cut_and_every_flipped_byte_is_refused_or_harmless(tmp_path):
    one = fitted("pca:n_components=2,n_genes=4")
    data = save_embedder(one, tmp_path / "a.npz").read_bytes()
    wanted = one.transform(cells())
    path = tmp_path / "b.npz"
    for at in range(0, len(data), 7):
        for wrong in (data[:at], data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]):
            path.write_bytes(wrong)
            try:
                got = load_embedder(path)
            except SourceError:
                continue
            np.testing.assert_array_equal(got.transform(cells()), wanted)


def test_a_member_that_claims_to_be_small_is_not_unpacked_whole(tmp_path):
    import tracemalloc

    data = bytearray(member("mean.npy", bytes(100_000_000))(tmp_path))
    claim, true = (300).to_bytes(4, "little"), (100_000_000).to_bytes(4, "little")
    path = tmp_path / "given.npz"
    path.write_bytes(data.replace(true, claim))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="damaged"):
            load_embedder(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        load_embedder(tmp_path / "none.npz")
    with pytest.raises(SourceError, match="is no file"):
        load_embedder(tmp_path)


# -- panels ----------------------------------------------------------------------------------------------------


def test_a_panel_keeps_the_order_of_its_file_and_counts_what_is_missing(panel_file):
    one = fitted(f"panel:genes={panel_file},name=gs")
    assert one.genes == ("gene05", "gene01", "absent")
    some = cells()
    wanted = np.column_stack([some.log_ng[:, [5, 1]].toarray(), np.zeros(80)]).astype(np.float32)
    np.testing.assert_array_equal(one.transform(some), wanted)
    assert one.name == "gs" and one.missing == {"made": 1}


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"a\nb\na\n", GeneError, "gene a is in the list of genes twice"),
        (b"# nothing\n\n", GeneError, "missing, empty"),
        (b"\xff\xfe\x00\x01", SourceError, "no text"),
        (b"a" * 300, GeneError, "no name"),
        (b"x\n" * 10_000_001, SourceError, "larger than 20 MB"),
    ],
)
def test_a_panel_that_is_no_list_of_genes_is_refused(tmp_path, data, error, words):
    path = tmp_path / "panel.txt"
    path.write_bytes(data)
    with pytest.raises(error, match=words):
        embedder(f"panel:genes={path}")


def test_a_panel_under_other_identifiers_is_refused_before_work_is_done(tmp_path):
    (tmp_path / "p.txt").write_text("ENSG1\nENSG2\n")
    one = embedder(f"panel:genes={tmp_path / 'p.txt'}")
    with pytest.raises(GeneError, match="made: has none of the 2 genes"):
        fit_embedders([one], lambda: [cells()])
    with pytest.raises(SourceError, match="No such file"):
        embedder(f"panel:genes={tmp_path / 'none.txt'}")


def test_the_panel_of_expression_follows_the_recipe():
    rng = np.random.default_rng(0)
    x_gt = rng.gamma(0.6, 8, (60, 9)).round(1)
    table = pd.DataFrame(x_gt, index=[f"g{i:02d}" for i in range(60)])
    passed = [i for i in range(60) if (x_gt[i] >= 1).sum() >= 5]
    assert 20 < len(passed) < 60
    figures = []
    for i in passed:
        tau = sum(1 - x / max(x_gt[i]) for x in x_gt[i]) / 8
        figures.append((np.var(x_gt[i]), tau, np.mean(x_gt[i])))
    z = (np.array(figures) - np.mean(figures, axis=0)) / np.std(figures, axis=0)
    score = dict(zip(passed, z @ [0.5, 0.4, 0.1], strict=True))
    wanted = [f"g{i:02d}" for i in sorted(passed, key=lambda i: -score[i])]
    assert list(panel_from_expression(table, n_genes=12)) == wanted[:12]
    assert list(panel_from_expression(table)) == wanted
    weak = next(f"g{i:02d}" for i in range(60) if i not in passed)
    forced = panel_from_expression(table, n_genes=5, forced=[weak, "not there", wanted[3]])
    assert list(forced) == [weak, wanted[3], *wanted[:3]]
    kinds = dict.fromkeys(table.index, "pseudogene") | {wanted[5]: "lincRNA", wanted[2]: "protein_coding"}
    assert set(panel_from_expression(table, biotypes=kinds)) == {wanted[5], wanted[2]}


def test_a_table_of_expression_that_makes_no_sense_is_refused():
    table = pd.DataFrame(np.full((3, 6), 5.0), index=["a", "b", "c"])
    assert panel_from_expression(table) == ("a", "b", "c")
    with pytest.raises(GeneError, match="gene a has several rows"):
        panel_from_expression(table.set_axis(["a", "a", "c"]))
    with pytest.raises(GeneError, match="no gene reaches 9 nTPM"):
        panel_from_expression(table, min_tpm=9)
    with pytest.raises(SourceError, match="gene b has a value"):
        panel_from_expression(table.replace(5.0, np.nan).combine_first(table.drop(index="b")))
    with pytest.raises(OptionError, match="forced into a panel of 1"):
        panel_from_expression(table, n_genes=1, forced=["a", "b"])


# -- scVI ------------------------------------------------------------------------------------------------------


def test_a_stored_scvi_encoder_needs_no_library(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "scvi", None)
    rng = np.random.default_rng(0)
    shapes = {"hidden0": (30, 6), "hidden1": (6, 6), "latent": (6, 3)}
    arrays = {f"{key}_weight": rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
    arrays |= {f"{key}_bias": rng.normal(size=shape[1]).astype(np.float32) for key, shape in shapes.items()}
    options = {"n_latent": 3, "n_hidden": 6, "n_layers": 2, "n_genes": 30, "max_epochs": 1, "seed": 0}
    one = ScviLatent.from_arrays(arrays, options | {"batch": "", "name": "scvi", "genes": list(GENES)})
    h = np.log1p(cells().counts_ng.toarray().astype(float))
    for key in ("hidden0", "hidden1"):
        h = np.maximum(h @ arrays[f"{key}_weight"] + arrays[f"{key}_bias"], 0)
    wanted = h @ arrays["latent_weight"] + arrays["latent_bias"]
    loaded = load_embedder(save_embedder(one, tmp_path / "a.npz"))
    np.testing.assert_allclose(loaded.transform(cells()), wanted, rtol=1e-5, atol=1e-5)
    with pytest.raises(MethodError, match=r"corpuscle\[models\]"):
        embedder("scvi").fit(lambda: [cells()])
    with pytest.raises(SourceError, match="number of layers"):
        ScviLatent.from_arrays(arrays, options | {"n_layers": 10**9, "genes": list(GENES)})


def test_scvi_latents_are_those_of_the_library(monkeypatch, tmp_path):
    scvi = pytest.importorskip("scvi")
    kept = []
    train = scvi.model.SCVI.train

    def watched(self, *args, **kwargs):
        kept.append(self)
        return train(self, *args, **kwargs)

    monkeypatch.setattr(scvi.model.SCVI, "train", watched)
    some = cells(120)
    some.obs["donor"] = ["a", "b"] * 60
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    word = "scvi:n_latent=4,max_epochs=2,n_hidden=16,n_layers=2,batch=donor"
    one, two = (embedder(word).fit(lambda: [some]) for _ in range(2))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    got = one.transform(some)
    np.testing.assert_allclose(got, kept[0].get_latent_representation(), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(got, two.transform(some))
    loaded = load_embedder(save_embedder(one, tmp_path / "a.npz"))
    np.testing.assert_array_equal(loaded.transform(some), got)
    with pytest.raises(OptionError, match="no column 'site'"):
        embedder("scvi:batch=site").fit(lambda: [some])
