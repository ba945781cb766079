"""A data set that is not what was built is told from one that is, whatever was done to it, and never with a traceback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.cli import main
from corpuscle.corpus import _row_checks
from corpuscle.corpus._row_checks import CHECKS, RowRules, check_rows
from corpuscle.corpus.load import load
from corpuscle.corpus.presets import resolve_vocabulary
from corpuscle.corpus.tokenize import tokenize
from corpuscle.corpus.verify import verify
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.corpus.vocabulary_io import write_vocab
from corpuscle.errors import OptionError, SourceError

GOLDEN = Path(__file__).parent / "golden" / "input.h5ad"
DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
SHARD = "data-00000-of-00003.arrow"


def framed() -> RankVocabulary:
    """Every sixth gene of V1, and a frame."""
    v1, _ = resolve_vocabulary("geneformer-v1")
    specials = {**v1.specials, "<cls>": 25_426, "<eos>": 25_427}
    kept = slice(None, None, 6)
    return RankVocabulary(
        "framed", v1.gene_ids[kept], v1.tokens_g[kept], v1.medians_g[kept], specials, max_len=96, special_token=True
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "golden.dataset"
    choices: dict[str, Any] = {"keep_counts": True, "attrs": ["cell_id"], "min_match": 0.0, "parquet": True}
    tokenize(GOLDEN, out, vocabulary=framed(), shard_cells=80, **choices)
    return out


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy.dataset"))


def sign(folder: Path, *names: str) -> None:
    """Make the manifest agree with files that were changed, as one would who wants the change not to be noticed."""

    def change(manifest: dict[str, Any]) -> None:
        for name in names:
            data = (folder / name).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            if name in manifest["files"]:
                manifest["files"][name] = digest
            for shard in manifest["shards"]:
                if shard["file"] == name:
                    shard.update(bytes=len(data), sha256=digest)

    change_manifest(folder, change)


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def change_rows(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change rows of the first shard, and sign it."""
    with pa.ipc.open_stream(folder / SHARD) as reader:
        table = reader.read_all()
    rows = table.to_pylist()
    change(rows)
    with pa.ipc.new_stream(folder / SHARD, table.schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, table.schema))
    sign(folder, SHARD)


def checks(folder: Path, **options: Any) -> set[str]:
    return {problem.check for problem in verify(folder, **options).problems}


# -- what is right -------------------------------------------------------------------------------------------


def test_what_tokenize_wrote_is_right(built: Path) -> None:
    found = verify(built, vocabulary=framed())
    manifest = json.loads((built / "manifest.json").read_text())
    assert found.ok, found.lines()
    assert (found.shards, found.rows, found.tokens) == (3, 200, manifest["tokens"])
    quick = verify(built, quick=True)
    assert quick.ok and quick.rows == 0


@pytest.mark.parametrize(
    "options",
    [
        {"order": "shuffled"},
        {"order": "bucketed", "token_dtype": "int64"},
        {"token_dtype": "int16", "pretrainer_files": True},
    ],
    ids=["shuffled", "bucketed", "int16"],
)
def test_every_kind_of_data_set_is_right(tmp_path: Path, options: dict[str, Any]) -> None:
    out = tmp_path / "d.dataset"
    tokenize(GOLDEN, out, filter="golden_filter", max_len=64, shard_cells=50, **options)
    found = verify(out, vocabulary="geneformer-v1")
    assert found.ok, found.lines()
    assert found.rows == 133


def test_files_of_others_do_not_matter(folder: Path) -> None:
    for name in ("report.html", "README.md", "cache-0123456789abcdef.arrow"):
        (folder / name).write_text("not ours")
    assert verify(folder).ok


# -- files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [SHARD, "lengths.npy", "vocab.tsv", "state.json", "dataset_info.json"])
def test_a_flipped_bit_is_found(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    found = verify(folder)
    assert {problem.file for problem in found.problems if problem.check == "checksum"} == {name}


@pytest.mark.parametrize("name", [SHARD, SHARD.replace("arrow", "parquet")])
def test_a_copy_that_was_cut_off_is_found_at_a_glance(folder: Path, name: str) -> None:
    with (folder / name).open("r+b") as file:
        file.truncate(5_000)
    found = verify(folder, quick=True)
    assert [(problem.check, problem.file) for problem in found.problems] == [("size", name)]
    assert "cut off" in found.lines()[0]


@pytest.mark.parametrize("name", [SHARD, "lengths.npy", "vocab.tsv", "state.json"])
def test_a_missing_file_and_a_link_are_found(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "moved")
    assert checks(folder) == {"missing"}
    (folder / name).symlink_to(tmp_path / "moved")
    assert checks(folder) == {"link"}


def test_data_that_nobody_listed_is_found(folder: Path) -> None:
    shutil.copy(folder / SHARD, folder / "data-00009-of-00010.arrow")
    assert checks(folder, quick=True) == {"unlisted"}


@pytest.mark.parametrize("files", [[SHARD], ["../other.arrow"], [], [7], None])
def test_what_datasets_would_load_must_be_what_is_listed(folder: Path, files: list[Any] | None) -> None:
    state = json.loads((folder / "state.json").read_text())
    state["_data_files"] = None if files is None else [{"filename": file} for file in files]
    (folder / "state.json").write_text(json.dumps(state))
    sign(folder, "state.json")
    assert checks(folder) == {"state"}
    with pytest.raises(SourceError, match=r"state\.json"):
        load(folder)


def test_no_sound_arrow_file_is_one_line(folder: Path) -> None:
    whole = (folder / SHARD).read_bytes()
    random = np.random.default_rng(0)
    for case in range(12):
        data = bytearray(whole[: len(whole) // 3] if case % 4 == 0 else whole)
        for place in random.integers(0, 4_000 if case % 2 else len(data), 12):
            data[place] ^= 1 << int(random.integers(8))
        (folder / SHARD).write_bytes(data)
        sign(folder, SHARD)
        assert not verify(folder).ok
    for data in (b"", b"\xff" * 64, whole[:100]):
        (folder / SHARD).write_bytes(data)
        sign(folder, SHARD)
        assert checks(folder) == {"arrow"}


# -- rows ----------------------------------------------------------------------------------------------------


def put(row: int, place: int, token: int) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[row]["input_ids"][place] = token

    return change


def swap(*columns: str, a: int = 9, b: int = 40) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        for column in columns:
            values = rows[3][column]
            values[a], values[b] = values[b], values[a]

    return change


def count(place: int, value: float) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[3]["counts"][place] = value

    return change


def longer(rows: list[dict[str, Any]]) -> None:
    row = next(row for row in rows if row["length"] == 96)
    row["input_ids"].insert(1, next(token for token in range(2, 9_999, 6) if token not in row["input_ids"]))
    row["counts"].insert(1, 1e9)
    row["length"] = 97


def relength(rows: list[dict[str, Any]]) -> None:
    rows[3]["length"] += 1


def shorter_counts(rows: list[dict[str, Any]]) -> None:
    rows[3]["counts"].pop()


def none_left(rows: list[dict[str, Any]]) -> None:
    rows[3].update(input_ids=[25_426, 25_427], counts=[0.0, 0.0], length=2)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put(3, 5, 25_428), {"token-range"}),
        (put(3, 5, -1), {"token-range"}),
        (put(3, 5, 3), {"token-unknown", "count-special"}),
        (put(3, 5, 0), {"special-inside", "count-special"}),
        (put(3, 5, 1), {"special-inside", "count-special"}),
        (put(3, 5, 25_427), {"frame", "token-twice", "count-special"}),
        (swap("input_ids", "counts", a=0, b=1), {"frame"}),
        (swap("input_ids", "counts"), {"count-order"}),
        (lambda rows: rows[3]["input_ids"].__setitem__(6, rows[3]["input_ids"][5]), {"token-twice"}),
        (relength, {"length-column"}),
        (longer, {"too-long", "lengths"}),
        (none_left, {"no-gene", "lengths"}),
        (shorter_counts, {"count-length"}),
        (count(5, float("nan")), {"count-value"}),
        (count(5, -1.0), {"count-value"}),
        (count(5, 0.0), {"count-value"}),
        (count(5, float("inf")), {"count-value"}),
        (count(0, 1.0), {"count-special"}),
        (lambda rows: rows.pop(), {"rows", "lengths"}),
    ],
)  # fmt: skip
def test_a_wrong_row_is_found_though_checksums_agree(
    folder: Path, change: Callable[[list[dict[str, Any]]], Any], expected: set[str]
) -> None:
    change_rows(folder, change)
    found = verify(folder)
    seen = {problem.check for problem in found.problems}
    assert expected - {"lengths"} <= seen <= expected | {"count-order"}, found.lines()
    rows = {problem.row for problem in found.problems if problem.row is not None and problem.check not in {"too-long"}}
    assert all(problem.file == SHARD for problem in found.problems)
    assert "rows" in seen or "too-long" in seen or rows == {3}


def test_many_wrong_rows_are_one_line(folder: Path) -> None:
    change_rows(folder, lambda rows: [put(row, 5, 99_999)(rows) for row in range(10, 80)])
    (problem,) = verify(folder).problems
    assert (problem.check, problem.row, problem.rows) == ("token-range", 10, 70)
    assert "row 10" in problem.message and "99,999" in problem.message


def test_missing_values_and_columns_are_found(folder: Path) -> None:
    change_rows(folder, lambda rows: rows[3].__setitem__("input_ids", None))
    assert checks(folder) == {"columns"}


def test_lengths_that_lie_are_found(folder: Path) -> None:
    lengths = np.load(folder / "lengths.npy")
    lengths[[7, 8]] += np.array([1, -1], np.int32)
    np.save(folder / "lengths.npy", lengths)
    sign(folder, "lengths.npy")
    (problem,) = verify(folder).problems
    assert (problem.check, problem.row, problem.rows) == ("lengths", 7, 2)
    np.save(folder / "lengths.npy", np.array([{"a": 1}], object), allow_pickle=True)
    sign(folder, "lengths.npy")
    assert checks(folder) == {"lengths"}


# -- rows as arrays ------------------------------------------------------------------------------------------

SMALL = RankVocabulary(
    "small", ("A", "B", "C", "D"), np.array([2, 3, 5, 9], np.int32), np.array([1.0, 2.0, 0.5, 4.0]),
    {"<pad>": 0, "<mask>": 1, "<cls>": 7, "<eos>": 8}, 5, True,
)  # fmt: skip


def by_hand(row: list[int], counts: list[float], rules: RowRules) -> set[str]:
    """The same rules, as one would say them."""
    median = dict(zip(SMALL.tokens_g.tolist(), SMALL.medians_g.tolist(), strict=True))
    wrong = set()
    wrong |= {"too-long"} if len(row) > 5 else set()
    wrong |= {"token-range"} if any(not 0 <= t <= 9 for t in row) else set()
    wrong |= {"token-unknown"} if any(t in (4, 6) for t in row) else set()
    wrong |= {"special-inside"} if any(t in (0, 1) for t in row) else set()
    inside = [t for t in row if 0 <= t <= 9]
    wrong |= {"token-twice"} if len(set(inside)) < len(inside) else set()
    wrong |= {"no-gene"} if not any(t in median for t in row) else set()
    body = row[1:-1] if rules.framed else row
    ends = len(row) >= 2 and row[0] == 7 and row[-1] == 8
    wrong |= {"frame"} if (rules.framed and not ends) or 7 in body or 8 in body else set()
    if "token-range" not in wrong:
        genes = [(c, c / median[t]) for t, c in zip(row, counts, strict=True) if t in median]
        wrong |= {"count-special"} if any(c for t, c in zip(row, counts, strict=True) if t not in median) else set()
        wrong |= {"count-value"} if any(c <= 0 for c, _ in genes) else set()
        good = [value for c, value in genes if c > 0]
        wrong |= {"count-order"} if sorted(good, reverse=True) != good else set()
    return wrong


ROWS = st.lists(st.lists(st.tuples(st.integers(-1, 10), st.integers(-1, 4)), max_size=6), max_size=5)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.booleans())
def test_flags_are_those_found_by_hand(rows: list[list[tuple[int, int]]], frame: bool) -> None:
    rules = RowRules.of(SMALL, framed=frame)
    ids = np.array([token for row in rows for token, _ in row], np.int32)
    counts = np.array([value for row in rows for _, value in row], float)
    offsets = np.cumsum([0, *map(len, rows)])
    flags = check_rows(ids, offsets, rules, counts=counts)
    for row, flag in zip(rows, flags.tolist(), strict=True):
        found = {check for bit, check in CHECKS.items() if flag & bit}
        assert found == by_hand([token for token, _ in row], [float(value) for _, value in row], rules)


def test_rows_of_the_published_corpus_are_right() -> None:
    path = DATA / "geneformer" / "genecorpus30M_500_cells.parquet"
    if not path.is_file():
        pytest.skip(f"the 500 rows of Genecorpus-30M are not there: {path}")
    import pyarrow.parquet as pq

    table = pq.read_table(path).combine_chunks()
    lists = table["input_ids"].chunk(0)
    rules = RowRules.of(resolve_vocabulary("geneformer-v1")[0])
    ids, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
    assert not check_rows(ids, offsets, rules, length_n=table["length"].to_numpy()).any()
    spoiled = ids.copy()
    spoiled[offsets[77] + 4] = spoiled[offsets[77] + 3]
    assert np.flatnonzero(check_rows(spoiled, offsets, rules) & _row_checks.TWICE).tolist() == [77]


# -- the manifest --------------------------------------------------------------------------------------------


def shard(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["shards"][0].update(values)


@pytest.mark.parametrize(
    "change",
    [
        shard(file="../golden.dataset/data.arrow"), shard(file="/etc/passwd"), shard(file=".."), shard(file="a\\b"),
        shard(file="C:x"), shard(file=None), shard(file="x\n"), shard(rows="80"), shard(rows=-1), shard(rows=True),
        shard(rows=1e300), shard(sha256="0"), shard(pieces=7), shard(pieces=[{"source": "0"}]), shard(parquet=[1]),
        lambda m: m["shards"].append(m["shards"][0]), lambda m: m.update(shards={}), lambda m: m.pop("sources"),
        lambda m: m["files"].update({"../../x": "0" * 64}), lambda m: m["files"].update({"vocab.tsv": 3}),
        lambda m: m["files"].pop("lengths.npy"), lambda m: m["vocabulary"].update(file="../vocab.tsv"),
        lambda m: m["vocabulary"].update(max_len=1 << 60), lambda m: m["vocabulary"].update(specials={"<pad>": "0"}),
        lambda m: m["sources"][0].update(match=None), lambda m: m["sources"][0]["dropped"].update(qc="many"),
        lambda m: m["sources"].__setitem__(0, "x"), lambda m: m.update(format="other/1"), lambda m: m.update(columns=[]),
    ],
)  # fmt: skip
def test_a_hostile_manifest_is_refused(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    change_manifest(folder, change)
    found = verify(folder)
    assert {problem.check for problem in found.problems} == {"manifest"}
    assert all("\n" not in line for line in found.lines())
    with pytest.raises(SourceError):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\x00\xff", "1", '{"format": "corpuscle-corpus/1"}'])
def test_a_broken_manifest_is_one_problem_or_more(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    assert checks(folder) == {"manifest"}


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(tokens=m["tokens"] + 1),
        lambda m: m.update(rows=m["rows"] + 1),
        lambda m: m["sources"][0].update(cells=300),
        lambda m: (m.update(truncated=200), m["sources"][0].update(truncated=200)),
        lambda m: m["shards"][0]["pieces"][0].update(source=9),
        lambda m: m["shards"][0]["pieces"][0].update(rows=79),
    ],
)
def test_sums_that_do_not_add_up_are_found(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    change_manifest(folder, change)
    assert "totals" in checks(folder)


def test_no_data_set_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        verify(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"manifest\.json"):
        verify(tmp_path)


# -- the vocabulary ------------------------------------------------------------------------------------------


def test_another_vocabulary_is_found_at_a_glance(folder: Path) -> None:
    found = verify(folder, vocabulary="geneformer-v1", quick=True)
    assert {problem.check for problem in found.problems} == {"vocabulary", "frame"}
    assert "geneformer-v1" in found.lines()[0] and "framed" in found.lines()[0]
    with pytest.raises(SourceError, match="encoded with vocabulary framed"):
        load(folder, vocabulary="geneformer-v1")
    with pytest.raises(OptionError, match="neither a preset"):
        verify(folder, vocabulary="geneformer-v9")


def test_other_medians_and_a_shorter_model_are_found(folder: Path, tmp_path: Path) -> None:
    other = framed()
    medians = other.medians_g.copy()
    medians[:7] *= 2
    other = replace(other, medians_g=medians, max_len=64)
    assert checks(folder, vocabulary=other, quick=True) == {"vocabulary", "too-long"}
    write_vocab(other, tmp_path / "other.tsv")
    found = verify(folder, vocabulary=tmp_path / "other.tsv", quick=True)
    assert [problem.check for problem in found.problems] == ["vocabulary"]
    assert "7 medians differ" in found.lines()[0]


def test_a_vocabulary_file_that_was_exchanged_is_found(folder: Path) -> None:
    other = framed()
    tokens = other.tokens_g.copy()
    tokens[[4, 5]] = tokens[[5, 4]]
    write_vocab(replace(other, tokens_g=tokens), folder / "vocab.tsv")
    sign(folder, "vocab.tsv")
    assert "vocabulary" in checks(folder, quick=True)
    (folder / "vocab.tsv").write_text("token\tid\n1\t<pad>\n")
    sign(folder, "vocab.tsv")
    assert checks(folder) == {"vocabulary"}


# -- load and the command ------------------------------------------------------------------------------------


def test_load_gives_the_rows(built: Path) -> None:
    dataset = load(built, vocabulary=framed())
    assert dataset.num_rows == 200
    assert dataset[150]["input_ids"][0] == 25_426 and dataset[150]["length"] == len(dataset[150]["counts"])
    assert dataset["length"][:] == np.load(built / "lengths.npy").tolist()


def test_the_command_leaves_with_2_and_one_line_for_each_problem(
    built: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["corpus", "verify", str(built)]) == 0
    assert "200 rows" in capfd.readouterr().err
    change_rows(folder, lambda rows: (relength(rows), count(5, -1.0)(rows)))
    assert main(["corpus", "verify", str(folder)]) == 2
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 2 and "Traceback" not in err and SHARD in err
    assert main(["corpus", "verify", str(folder), "--json"]) == 2
    shown = json.loads(capfd.readouterr().out)
    assert shown["ok"] is False and {one["check"] for one in shown["problems"]} == {"length-column", "count-value"}
    assert main(["corpus", "verify", str(built), "--preset", "geneformer-v1", "--quick"]) == 2
    assert main(["corpus", "verify", str(built), "--preset", "geneformer-v1", "--vocab", "x"]) == 2
    assert main(["corpus", "verify", str(built / "nowhere")]) == 2


def test_at_most_20_problems_are_shown(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for i in range(30):
        (folder / f"data-x{i:02d}.arrow").touch()
    assert main(["corpus", "verify", str(folder), "--quick"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 21 and "10 more problems" in lines[-1]
