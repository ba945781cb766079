"""Pickled dictionaries are read without running anything they ask for."""

import hashlib
import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.corpus._pickles import read_pickled_dictionary
from corpuscle.corpus.presets import resolve_vocabulary
from corpuscle.corpus.vocabulary_io import read_aliases, read_gene_medians, read_tokens
from corpuscle.errors import SourceError

PROTOCOLS = (2, 3, 4, 5)
GENES = [f"ENSG{i:011d}" for i in range(300)]


def read(data):
    return read_pickled_dictionary(data, source="dictionary.pkl")


def refused(data, words):
    with pytest.raises(SourceError, match=words) as caught:
        read(data)
    assert str(caught.value).startswith("dictionary.pkl: ")
    assert "\n" not in str(caught.value)


scalars = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.booleans(), st.text(st.characters(codec="utf-8"))
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), scalars, max_size=30), st.sampled_from(PROTOCOLS))
def test_plain_dictionaries_come_back_as_they_were(values, protocol):
    back = read(pickle.dumps(values, protocol))
    assert back == values
    assert [type(one) for one in back.values()] == [type(one) for one in values.values()]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "dtype", ["i1", "i2", "<i4", ">i4", "i8", "u1", "u2", "u4", "u8", "f2", "<f4", ">f4", "f8", "?"]
)
def test_numpy_scalars_become_python_numbers(protocol, dtype):
    values = {gene: np.dtype(dtype).type(i % 120) for i, gene in enumerate(GENES)}
    back = read(pickle.dumps(values, protocol))
    assert back == {gene: value.item() for gene, value in values.items()}
    assert {type(one) for one in back.values()} <= {int, float, bool}


def test_byte_order_of_a_numeric_type_is_heeded():
    big = np.array([1.5, 700.25], ">f8")
    data = pickle.dumps({"a": big.dtype}, 4)  # the type alone is no number
    refused(data, "'a' is a dtype")
    swapped = pickle.dumps({"a": np.float64(1.5)}, 4).replace(struct.pack("<d", 1.5), struct.pack(">d", 1.5))
    assert read(swapped.replace(b"\x8c\x01<", b"\x8c\x01>")) == {"a": 1.5}


@pytest.mark.parametrize("protocol", (2, 3, 4, 5))
def test_both_module_paths_of_numpy_are_known(protocol):
    new = pickle.dumps({"a": np.int16(7)}, protocol)
    assert b"numpy._core.multiarray" in new
    if protocol < 4:
        old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    else:  # the text carries its length, and the frame the length of all
        old = new.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
        length = int.from_bytes(old[3:11], "little") - 1
        old = old[:3] + length.to_bytes(8, "little") + old[11:]
    assert old != new
    assert read(old) == read(new) == {"a": 7} == pickle.loads(old)


def test_the_identity_map_over_the_first_vocabulary_is_the_published_file():
    genes = resolve_vocabulary("geneformer-v1")[0].gene_ids
    data = pickle.dumps({gene: gene for gene in genes}, 5)
    digest = hashlib.sha256(data).hexdigest()
    assert (len(data), digest[:8], digest[-4:]) == (584_125, "eac0fb0b", "7869")
    assert read(data) == {gene: gene for gene in genes}


class Runs:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


HOSTILE = {
    "os.system": (os.system, "touch hacked"),
    "builtins.eval": (eval, "open('hacked', 'w')"),
    "builtins.getattr": (getattr, "a", "upper"),
    "numpy.load": (np.load, "hacked", None, True),
    "io.open": (io.open, "hacked", "w"),
    "builtins.exec": (exec, "open('hacked', 'w')"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("nested", ["bare", "value", "deep"])
def test_no_function_is_called(tmp_path, monkeypatch, protocol, name, nested):
    monkeypatch.chdir(tmp_path)
    thing = Runs(*HOSTILE[name])
    value = {"bare": thing, "value": {"ENSG00000000003": thing}, "deep": {"a": [({"b": thing},)]}}[nested]
    refused(pickle.dumps(value, protocol), rf"asks for \w+\.{HOSTILE[name][0].__name__}, which")
    assert not list(tmp_path.iterdir())


class Bag:
    pass


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pickle.dumps({"a": Bag()}, 4), "asks for "),
        (pickle.dumps({"a": 1 + 2j}, 4), "asks for builtins.complex"),
        (pickle.dumps(OrderedDict(a=1), 4), "asks for collections.OrderedDict"),
        (pickle.dumps({"a": np.arange(3)}, 4), "asks for numpy"),
        (pickle.dumps({"a": np.str_("x")}, 4), "NumPy type 'U1'"),
        (pickle.dumps({"a": np.datetime64(3, "s")}, 4), "NumPy type 'M8'"),
        (pickle.dumps({"a": {1, 2}}, 4), "instruction EMPTY_SET"),
        (pickle.dumps({"a": 10**700}, 4), "instruction LONG4"),
        (pickle.dumps({"a": 1}, 0), "not a pickle of protocol 2 to 5"),
        (pickle.dumps({"a": [1, 2]}, 4), "the value of 'a' is a list"),
        (pickle.dumps({"a": {"b": 1}}, 4), "the value of 'a' is a dict"),
        (pickle.dumps({"a": None}, 4), "the value of 'a' is a NoneType"),
        (pickle.dumps({"a": b"raw"}, 4), "the value of 'a' is a bytes"),
        (pickle.dumps({1: 1}, 4), "a key of the dictionary is a int"),
        (pickle.dumps({np.int64(1): 1}, 4), "a key of the dictionary is a int"),
        (pickle.dumps(["a"], 4), "holds a list where a dictionary"),
        (pickle.dumps(3.0, 4), "holds a float where a dictionary"),
        (b"\x80\x04}\x8c\x01a\x82\x01s.", "instruction EXT1"),
        (b"\x80\x04}\x8c\x01aPid\ns.", "instruction PERSID"),
        (b"\x80\x04}\x8c\x01a\x8c\x01bQs.", "instruction BINPERSID"),
        (b"\x80\x04(cos\nsystem\no.", "asks for os.system"),
        (b"\x80\x02(S'ls'\nios\nsystem\n.", "instruction STRING"),
        (b"\x80\x02(U\x02lsios\nsystem\n.", "instruction SHORT_BINSTRING"),
        (b"\x80\x04cnumpy\ndtype\n)\x81.", "instruction NEWOBJ"),
        (b"\x80\x04cnumpy\ndtype.__init__\n.", "asks for numpy.dtype.__init__"),
        (b"\x80\x04cnumpy\ndtype\n\x8c\x02O8\x89\x88\x87R.", "NumPy type 'O8' is not a plain number"),
        (b"\x80\x04cnumpy._core.multiarray\nscalar\n\x8c\x02f8C\x08" + b"0" * 8 + b"\x86R.", "not a plain number"),
        (b"\x80\x04\x8c\x05hello)R.", "calls something that is no function"),
        (b"\x80\x04}}b.", "sets the state of something"),
        (b"\x80\x04}\x8c\x01aK\x01s\x8c\x01aK\x02s.", "'a' is there twice"),
    ],
)
def test_whatever_a_plain_dictionary_does_not_need_is_refused(data, words):
    refused(data, words)


def test_a_numpy_object_scalar_is_refused():
    made = pickle.dumps({"a": np.float64(1)}, 4).replace(b"\x8c\x02f8", b"\x8c\x02O8")
    refused(made, "NumPy type 'O8'")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_cut_and_many_a_flipped_byte_is_one_line(protocol):
    whole = pickle.dumps({gene: np.float64(i) for i, gene in enumerate(GENES[:5])}, protocol)
    for end in range(len(whole)):
        refused(whole[:end], "cut short|not a pickle")
    random = np.random.default_rng(0)
    for _ in range(400):
        broken = bytearray(whole)
        broken[random.integers(len(whole))] = random.integers(256)
        try:
            back = read(bytes(broken))
        except SourceError as error:
            assert "\n" not in str(error)
        else:
            assert all(isinstance(one, str | int | float) for one in back.values())


def test_huge_lengths_and_memo_numbers_cost_nothing():
    refused(b"\x80\x04}\x8d" + (2**62).to_bytes(8, "little") + b"a", "cut short")
    refused(b"\x80\x04}X" + (2**32 - 1).to_bytes(4, "little") + b"a", "cut short")
    assert read(b"\x80\x04}r" + (2**32 - 1).to_bytes(4, "little") + b".") == {}


def test_files_that_are_not_the_dictionary(tmp_path):
    pointer = tmp_path / "token_dictionary.pkl"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab9d\nsize 1\n")
    with pytest.raises(SourceError, match="only a git-lfs pointer"):
        read_tokens(pointer)
    empty = tmp_path / "empty.pkl"
    empty.touch()
    with pytest.raises(SourceError, match="is empty"):
        read_gene_medians(empty)
    large = tmp_path / "large.pkl"
    with large.open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(SourceError, match="larger than 64 MiB"):
        read_aliases(large)
    with pytest.raises(SourceError, match="no such file"):
        read_tokens(tmp_path / "none.pkl")


def test_pickles_of_the_published_structure_are_read(tmp_path):
    for protocol in PROTOCOLS:
        tokens, medians, names = (tmp_path / f"{what}{protocol}.pkl" for what in ("tokens", "medians", "names"))
        token_of = {name: np.int16(i) for i, name in enumerate(["<pad>", "<mask>", *GENES])}
        tokens.write_bytes(pickle.dumps(token_of, protocol))
        medians.write_bytes(pickle.dumps({gene: np.float64(i / 7 + 0.1) for i, gene in enumerate(GENES)}, protocol))
        names.write_bytes(pickle.dumps({"TSPAN6": GENES[3]}, protocol))
        table = read_tokens(tokens)
        assert table.specials == {"<pad>": 0, "<mask>": 1}
        assert table.genes == {gene: i + 2 for i, gene in enumerate(GENES)}
        assert table.medians is None
        assert read_gene_medians(medians) == {gene: i / 7 + 0.1 for i, gene in enumerate(GENES)}
        assert read_aliases(names) == {"TSPAN6": GENES[3]}
