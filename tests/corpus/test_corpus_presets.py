"""Vocabularies: bundled ones, the user's own, and what does not go together."""

import gzip
import hashlib
import json
import lzma
import os
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.corpus import presets
from corpuscle.corpus.presets import PRESETS, resolve_vocabulary
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.corpus.vocabulary_io import read_aliases, read_gene_medians, read_vocab, write_vocab
from corpuscle.errors import OptionError, OutputError, SourceError

SHARED = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "geneformer"
FRAMED = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3}


def vocabulary(medians=(0.1, 2.5, 1 / 3), specials=None, **more):
    specials = {"<pad>": 0, "<mask>": 1} if specials is None else specials
    tokens = np.arange(len(specials), len(specials) + len(medians), dtype=np.int32)
    genes = tuple(f"ENSG{i:011d}" for i in range(len(medians)))
    settings = {"max_len": 2048, "special_token": False} | more
    return RankVocabulary("test", genes, tokens, np.array(medians, float), specials, **settings)


def put(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def v2_medians(tmp_path):
    """A stand-in for the medians that cannot be bundled, as JSON."""
    genes = presets._bundled(PRESETS["geneformer-v2"]).genes
    return put(tmp_path / "medians.json", json.dumps({gene: 1 + i / 7 for i, gene in enumerate(genes)}))


# -- presets -------------------------------------------------------------------------------------------------------


def test_the_first_generation_is_complete():
    vocab, aliases = resolve_vocabulary("geneformer-v1")
    assert (len(vocab.gene_ids), vocab.size, vocab.max_len, vocab.special_token) == (25_424, 25_426, 2048, False)
    assert dict(vocab.specials) == {"<pad>": 0, "<mask>": 1}
    assert aliases == {}
    assert list(vocab.gene_ids) == sorted(vocab.gene_ids)
    np.testing.assert_array_equal(vocab.tokens_g, np.arange(2, 25_426))
    assert any(gene.startswith("ENSGR") for gene in vocab.gene_ids)
    assert vocab.medians_g.min() == pytest.approx(0.0947, abs=5e-5)
    assert vocab.medians_g.max() == pytest.approx(634.3, abs=0.05)
    assert np.unique(vocab.medians_g).size == 25_413
    assert vocab.name == "geneformer-v1"
    assert vocab.sha256 == "6137308104a46c29c850336742bcca028a156be3ac48d6c728543d924d6eabf2"


@pytest.mark.parametrize(
    ("bundled", "shared"),
    [("geneformer_v1.tsv.xz", "gc30M_tokens_medians.tsv.gz"), ("geneformer_v2_tokens.tsv.xz", "gc104M_tokens.tsv.gz")],
)
def test_bundled_tables_are_the_published_values(bundled, shared):
    if not (SHARED / shared).exists():
        pytest.skip("needs the shared Geneformer tables (CORPUSCLE_DATA)")
    folder = Path(presets.__file__).parent / "data"
    assert lzma.decompress((folder / bundled).read_bytes()) == gzip.decompress((SHARED / shared).read_bytes())


def test_the_second_generation_takes_its_medians_from_the_user(v2_medians):
    vocab, _ = resolve_vocabulary("geneformer-v2", medians=v2_medians)
    assert (len(vocab.gene_ids), vocab.size, vocab.max_len, vocab.special_token) == (20_271, 20_275, 4096, True)
    assert dict(vocab.specials) == FRAMED
    assert vocab.medians_g[7] == 2.0
    shared = set(vocab.gene_ids) & set(resolve_vocabulary("geneformer-v1")[0].gene_ids)
    assert len(shared) == 19_623


def test_length_and_frame_can_be_chosen(v2_medians):
    vocab, _ = resolve_vocabulary("geneformer-v2", medians=v2_medians, max_len=512, special_token=False)
    assert (vocab.max_len, vocab.special_token) == (512, False)
    assert resolve_vocabulary("geneformer-v1", max_len=100)[0].max_len == 100


def test_a_pickle_that_is_not_the_published_one_is_refused_with_both_hashes(tmp_path):
    path = tmp_path / "gene_median_dictionary_gc104M.pkl"
    path.write_bytes(pickle.dumps({"ENSG00000000003": 1.0}, 4))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(OptionError, match=f"{found}.*a51c53f6a771d64508dfaf61529df70e394c53bd20856926117ae5d641a24bf5"):
        resolve_vocabulary("geneformer-v2", medians=path)


def test_a_map_of_identifiers_is_checked_like_the_medians(tmp_path, v2_medians):
    pickled = tmp_path / "map.pkl"
    pickled.write_bytes(pickle.dumps({"TSPAN6": "ENSG00000000003"}, 4))
    with pytest.raises(OptionError, match="0819bcbd869cfa14"):
        resolve_vocabulary("geneformer-v2", medians=v2_medians, aliases=pickled)
    table = put(tmp_path / "map.tsv", "name\tgene\nTSPAN6\tENSG00000000003\n")
    _, aliases = resolve_vocabulary("geneformer-v2", medians=v2_medians, aliases=table)
    assert aliases == {"TSPAN6": "ENSG00000000003"}
    assert resolve_vocabulary("geneformer-v1", aliases=pickled)[1] == aliases


def test_other_medians_show_in_the_name(tmp_path):
    genes = resolve_vocabulary("geneformer-v1")[0].gene_ids
    own = put(tmp_path / "own.tsv", "id\tnonzero_median\n" + "".join(f"{gene}\t2.5\n" for gene in genes))
    vocab, _ = resolve_vocabulary("geneformer-v1", medians=own)
    assert vocab.name == "geneformer-v1 with own.tsv"
    assert set(vocab.medians_g) == {2.5}


def test_the_tokens_of_the_preset_may_be_given_and_no_others(tmp_path, v2_medians):
    table = presets._bundled(PRESETS["geneformer-v2"])
    tokens = table.genes | table.specials
    same = put(tmp_path / "tokens.json", json.dumps(tokens))
    a, _ = resolve_vocabulary("geneformer-v2", medians=v2_medians)
    b, _ = resolve_vocabulary("geneformer-v2", medians=v2_medians, vocab=same)
    assert a.sha256 == b.sha256
    swapped = tokens | {"ENSG00000000003": 5, "ENSG00000000005": 4}
    other = put(tmp_path / "other.json", json.dumps(swapped))
    with pytest.raises(OptionError, match="not the tokens of geneformer-v2: ENSG00000000003 is 5 and should be 4"):
        resolve_vocabulary("geneformer-v2", medians=v2_medians, vocab=other)


# -- the user's own ------------------------------------------------------------------------------------------------


def test_a_vocabulary_with_special_tokens_is_framed(tmp_path):
    write_vocab(vocabulary(specials=FRAMED), tmp_path / "own.tsv")
    vocab, _ = resolve_vocabulary(vocab=tmp_path / "own.tsv")
    assert (vocab.name, vocab.max_len, vocab.special_token) == ("own.tsv", 4096, True)
    write_vocab(vocabulary(), tmp_path / "bare.tsv")
    vocab, _ = resolve_vocabulary(vocab=tmp_path / "bare.tsv")
    assert (vocab.max_len, vocab.special_token) == (2048, False)


def test_tokens_and_medians_of_their_own_files(tmp_path):
    tokens = put(tmp_path / "tokens.csv", "id,token\n<pad>,0\n<mask>,1\nENSG1,7\nENSG2,5\n")
    medians = put(
        tmp_path / "medians.tsv",
        '# {"method": "histogram"}\nid\tn_nonzero\tnonzero_median\nENSG1\t12\t0.1\nENSG2\t3\t1e-3\nENSG3\t0\t\n',
    )
    vocab, _ = resolve_vocabulary(vocab=tokens, medians=medians)
    assert vocab.gene_ids == ("ENSG2", "ENSG1")
    assert vocab.tokens_g.tolist() == [5, 7]
    assert vocab.medians_g.tolist() == [1e-3, 0.1]
    assert vocab.name == "tokens.csv with medians.tsv"


def test_wrong_combinations_are_one_line_each(tmp_path):
    own = tmp_path / "own.tsv"
    write_vocab(vocabulary(), own)
    tokens = put(tmp_path / "tokens.tsv", "token\tid\n0\t<pad>\n1\t<mask>\n2\tENSG1\n3\tENSG2\n")
    some = put(tmp_path / "some.tsv", "id\tnonzero_median\nENSG1\t2.0\n")
    for words, options in {
        "no preset 'geneformer-v3'; there are: geneformer-v1, geneformer-v2": {"preset": "geneformer-v3"},
        "name a preset": {},
        "corpuscle corpus vocab": {"medians": some},
        "needs the medians published with the model.*gene_median_dictionary_gc104M.pkl": {"preset": "geneformer-v2"},
        "has medians of its own": {"vocab": own, "medians": some},
        "no column nonzero_median": {"vocab": tokens},
        "1 of the 2 genes of .*tokens.tsv have no median, such as ENSG2": {"vocab": tokens, "medians": some},
        "25,424 of the 25,424 genes of geneformer-v1 have no median": {"preset": "geneformer-v1", "medians": some},
        "without <cls> and <eos>": {"preset": "geneformer-v1", "special_token": True},
        "leaves no room": {"preset": "geneformer-v1", "max_len": 0},
    }.items():
        with pytest.raises(OptionError, match=words) as caught:
            resolve_vocabulary(**options)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id\tnonzero_median\nENSG1\t2\n", "needs the columns token and id"),
        ("token\tid\n0\t<pad>\n1.5\tENSG1\n", "'1.5', the token of ENSG1, is not a whole number"),
        ("token\tid\n0\t<pad>\n-1\tENSG1\n", "'-1', the token of ENSG1"),
        ("token\tid\n0\t<pad>\n2\tENSG1\n3\tENSG1\n", "ENSG1 is there twice"),
        ("token\tid\n0\t<pad>\n2\tENSG1\textra\n", "row 3 has 3 fields"),
        ("token\tid\tnonzero_median\n2\tENSG1\t0\n", "the median of ENSG1, is not a positive number"),
        ("token\tid\tnonzero_median\n2\tENSG1\tnan\n", "the median of ENSG1, is not a positive number"),
        ("token\tid\tnonzero_median\n2\tENSG1\tx\n", "the median of ENSG1, is not a positive number"),
        ('{"<pad>": 0, "ENSG1": true}', "the token of ENSG1, is not a whole number"),
        ('{"<pad>": 0, "ENSG1": 99999999999}', "the token of ENSG1, is not a whole number"),
        ('{"ENSG1": 2, "ENSG1": 3}', "'ENSG1' is there twice"),
        ('{"ENSG1": [2]}', "the value of 'ENSG1' is neither"),
        ("[1, 2]", "a list where a dictionary"),
        ('{"ENSG1": ', "not valid JSON"),
        ("# only a comment\n", "no line of a table"),
        ("version https://git-lfs.github.com/spec/v1\n", "only a git-lfs pointer"),
    ],
)
def test_damaged_vocabulary_files_are_one_line(tmp_path, text, words):
    with pytest.raises(SourceError, match=words) as caught:
        resolve_vocabulary(vocab=put(tmp_path / "vocab.tsv", text))
    assert "\n" not in str(caught.value)


def test_a_gene_without_a_median_is_never_given_one(tmp_path):
    path = put(tmp_path / "v.tsv", "token\tid\tnonzero_median\n0\t<pad>\t\n1\t<mask>\t\n2\tENSG1\t2\n3\tENSG2\t\n")
    with pytest.raises(OptionError, match="1 of the 2 genes"):
        read_vocab(path)


# -- files ---------------------------------------------------------------------------------------------------------

positive = st.floats(min_value=5e-324, allow_infinity=False, allow_nan=False)


@settings(deadline=None, max_examples=40)
@given(medians=st.lists(positive, min_size=1, max_size=20), suffix=st.sampled_from([".tsv", ".tsv.gz", ".tsv.xz"]))
def test_writing_and_reading_gives_the_very_same_numbers(tmp_path_factory, medians, suffix):
    path = tmp_path_factory.mktemp("vocab") / f"v{suffix}"
    written = vocabulary(medians, specials=FRAMED, max_len=99, special_token=True)
    write_vocab(written, path)
    first = path.read_bytes()
    back = read_vocab(path, name="test", max_len=99, special_token=True)
    assert back.sha256 == written.sha256
    assert (back.gene_ids, dict(back.specials), back.max_len) == (written.gene_ids, dict(written.specials), 99)
    np.testing.assert_array_equal(back.medians_g, written.medians_g)
    write_vocab(back, path)
    assert path.read_bytes() == first
    assert read_gene_medians(path) == dict(zip(back.gene_ids, medians, strict=True))


def test_the_preset_survives_a_round_trip(tmp_path):
    vocab, _ = resolve_vocabulary("geneformer-v1")
    write_vocab(vocab, tmp_path / "vocab.tsv")
    assert read_vocab(tmp_path / "vocab.tsv").sha256 == vocab.sha256


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = put(tmp_path / "vocab.tsv", "the old one")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_vocab(vocabulary(), path)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="cannot write"):
        write_vocab(vocabulary(), tmp_path / "no" / "folder.tsv")


def test_a_written_file_is_as_readable_as_any_other(tmp_path):
    write_vocab(vocabulary(), tmp_path / "vocab.tsv")
    plain = put(tmp_path / "plain.tsv", "x")
    assert stat.S_IMODE((tmp_path / "vocab.tsv").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_files_that_are_cut_short(tmp_path, pack):
    packed = pack(b"token\tid\tnonzero_median\n" * 50)
    (tmp_path / "v.tsv").write_bytes(packed[:-9])
    with pytest.raises(SourceError, match="cut short or damaged"):
        read_vocab(tmp_path / "v.tsv")


def test_a_packed_bomb_is_not_unpacked(tmp_path):
    (tmp_path / "v.gz").write_bytes(gzip.compress(bytes(65 * 2**20), 1))
    with pytest.raises(SourceError, match="unpacks to more than 64 MiB"):
        read_vocab(tmp_path / "v.gz")


def test_binary_is_not_text(tmp_path):
    (tmp_path / "v.tsv").write_bytes(b"\xff\xfe\x00\x01" * 10)
    with pytest.raises(SourceError, match="neither text nor a pickle"):
        read_vocab(tmp_path / "v.tsv")


# -- aliases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "from\tto\nOLD\tENSG00000000003\n",
        "OLD\tENSG00000000003\n",
        "anything,at all\nOLD,ENSG00000000003\nOLD,ENSG00000000003\n",
        "\ufefffrom,to\r\nOLD,ENSG00000000003\r\n\r\n",
        '{"OLD": "ENSG00000000003"}',
    ],
)
def test_aliases_with_any_heading_or_none(tmp_path, text):
    assert read_aliases(put(tmp_path / "aliases.txt", text)) == {"OLD": "ENSG00000000003"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\tb\nOLD\tENSG1\nOLD\tENSG2\n", "OLD leads to both ENSG1 and ENSG2"),
        ("a\tb\tc\nOLD\tENSG1\tx\n", "need two columns"),
        ('{"OLD": 3}', "OLD leads to no name"),
        ("a\tb\n", "no alias in it"),
    ],
)
def test_aliases_that_cannot_be_used(tmp_path, text, words):
    with pytest.raises(SourceError, match=words):
        read_aliases(put(tmp_path / "aliases.tsv", text))


def test_the_golden_aliases():
    aliases = read_aliases(Path(__file__).parent / "golden" / "alias_map.tsv")
    assert len(aliases) == 6
    assert aliases["ALIAS01"] == aliases["ALIAS02"] == "ENSG00000166710"
