"""Gene-set files: what is read, and the one line that says what is wrong."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from corpuscle.benchmarks.topics import GeneSets, gene_sets, read_gmt
from corpuscle.errors import GeneError, SourceError

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "gene_sets"


def gmt(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_sets_are_read_as_they_are_written(tmp_path):
    file = gmt(tmp_path / "a.gmt", "S1\tabout\tHLA-A\tMT-CO1\tActb\tHLA-A\t", "", "S 2\t\tA,1.0\t B ")
    found = read_gmt(file)
    assert found.sets == {"S1": ("HLA-A", "MT-CO1", "Actb"), "S 2": ("A", "B")}
    assert found.collection == {"S1": "a", "S 2": "a"} and len(found) == 2
    assert found.genes == {"HLA-A", "MT-CO1", "Actb", "A", "B"}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_marks_and_compression_do_not_matter(tmp_path, ending):
    text = "\ufeff" + ending.join(["S\tx\tA\tB", "T\tx\tC"])
    (tmp_path / "plain.gmt").write_bytes(text.encode())
    (tmp_path / "packed").write_bytes(gzip.compress(text.encode()))  # known by its content
    assert read_gmt(tmp_path / "plain.gmt").sets == read_gmt(tmp_path / "packed").sets == {"S": ("A", "B"), "T": ("C",)}


def test_several_files_are_one_collection_and_equal_names_stay_apart(tmp_path):
    a, b = gmt(tmp_path / "a.gmt", "S\tx\tA", "T\tx\tB"), gmt(tmp_path / "b.gmt", "S\tx\tC")
    found = read_gmt([a, b])
    assert found.sets == {"a:S": ("A",), "T": ("B",), "b:S": ("C",)}
    with pytest.raises(SourceError, match="rename one of the files"):
        read_gmt([a, a])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"S\tx\tA\nT\tx\n", "line 2 has 2 tab-separated columns"),
        (b"S,x,A\n", "line 1 has 1 tab-separated column;"),
        (b"S\tx\tA\n\n\tx\tB\n", "line 3 has no set name"),
        (b"S\tx\tA\nS\tx\tB\n", "line 2 names the set S again, first on line 1"),
        (b"S\tx\t\t \t\n", "line 1, set S, has no gene"),
        (b"", "holds no gene set"),
        (b"\n\n", "holds no gene set"),
        (b"S\tx\tA\nT\tx\t\xff\xfe\n", "line 2 is not UTF-8"),
        (b"S\tx\tA\0B\n", "is not text"),
        (gzip.compress(b"S\tx\tA\n" * 100, mtime=0)[:-12], "damaged"),
        (b"\x1f\x8bnot gzip at all", "damaged"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(tmp_path, content, words):
    file = tmp_path / "bad.gmt"
    file.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        read_gmt(file)
    message = str(caught.value)
    assert words in message and message.startswith(str(file)) and "\n" not in message


def test_a_missing_file_a_folder_and_no_file_are_refused(tmp_path):
    with pytest.raises(SourceError, match="there is no such file"):
        read_gmt(tmp_path / "none.gmt")
    with pytest.raises(SourceError, match="cannot be read"):
        read_gmt(tmp_path)
    with pytest.raises(SourceError, match="no gene-set file"):
        read_gmt([])


def test_a_small_file_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gene_sets, "MAX_BYTES", 10_000)
    bomb = tmp_path / "bomb.gmt.gz"
    bomb.write_bytes(gzip.compress(b"S\tx\t" + b"A" * 1_000_000))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(SourceError, match="no gene-set file is"):
        read_gmt(bomb)


def test_sets_of_another_species_or_kind_are_refused_by_what_they_cover():
    human = GeneSets({"S": tuple(f"GENE{i}" for i in range(100))})
    assert human.require([f"GENE{i}" for i in range(60)], "d").share == 1.0
    with pytest.raises(GeneError, match=r"d: only 0 of 60 genes .* species mismatch"):
        human.require([f"Gene{i}" for i in range(60)], "d")
    with pytest.raises(GeneError, match="only 40 of 40 genes"):
        human.require([f"GENE{i}" for i in range(40)], "d")
    with pytest.raises(GeneError, match="only 60 of 2,060"):  # enough genes, but under 5 %
        human.require([f"GENE{i}" for i in range(60)] + [f"x{i}" for i in range(2000)], "d")


def test_real_collections_and_mouse_against_human():
    if not DATA.exists():
        pytest.skip("needs gene_sets of the shared data (CORPUSCLE_DATA)")
    human, mouse = (read_gmt(DATA / f"{species}_hallmark_v2025.gmt.gz") for species in ("human", "mouse"))
    assert len(human) == len(mouse) == 50 and "HLA-A" in human.genes
    with pytest.raises(GeneError, match="species mismatch"):
        human.require(mouse.genes, "mouse cells")
