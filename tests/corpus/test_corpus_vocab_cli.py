"""``corpuscle corpus medians`` and ``vocab``: from cells to a vocabulary that ``tokenize`` can use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from corpuscle.cli._app import main
from corpuscle.corpus.build_vocab import build_vocab
from corpuscle.corpus.medians import medians, read_medians
from corpuscle.corpus.medians_io import Medians
from corpuscle.corpus.presets import resolve_vocabulary
from corpuscle.corpus.vocabulary_io import read_vocab
from corpuscle.errors import GeneError, OptionError

INPUT = Path(__file__).parent / "golden" / "input.h5ad"


def own(genes: Sequence[str] = ("ENSG2", "ENSG10", "ENSG3"), cells: Sequence[int] = (5, 1, 9)) -> Medians:
    return Medians(tuple(genes), np.arange(1.0, len(genes) + 1), np.array(cells), {})


@pytest.mark.parametrize(("specials", "first"), [(["pad", "mask"], 2), (["pad", "mask", "cls", "eos"], 4)])
def test_tokens_are_the_specials_and_then_the_sorted_genes(specials: list[str], first: int) -> None:
    made = build_vocab(own(), specials=specials)
    assert made.gene_ids == ("ENSG10", "ENSG2", "ENSG3")
    assert made.tokens_g.tolist() == [first, first + 1, first + 2]
    assert made.medians_g.tolist() == [2.0, 1.0, 3.0]
    assert list(made.specials.values()) == list(range(first))
    assert made.special_token == (first == 4)
    assert made.size == first + 3


@pytest.mark.parametrize(("preset", "first"), [("geneformer-v1", 2)])
def test_the_rule_gives_the_published_tokens(preset: str, first: int) -> None:
    published, _ = resolve_vocabulary(preset)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(published.gene_ids))
    genes = Medians(
        tuple(published.gene_ids[i] for i in order), published.medians_g[order], np.ones(order.size, np.int64), {}
    )
    made = build_vocab(genes, name=preset)
    assert made.sha256 == published.sha256
    assert made.tokens_g.tolist() == list(range(first, first + len(published.gene_ids)))


def test_rare_genes_can_be_left_out() -> None:
    assert build_vocab(own(), min_cells=5).gene_ids == ("ENSG2", "ENSG3")
    with pytest.raises(GeneError, match="most is 9"):
        build_vocab(own(), min_cells=10)


@pytest.mark.parametrize(
    ("specials", "word"),
    [
        (["mask"], "pad"),
        (["pad", "mask", "cls"], "both or none"),
        (["pad", "pad", "mask"], "twice"),
        (["pad", "sep"], "sep"),
    ],
)
def test_special_tokens_that_make_no_sense(specials: list[str], word: str) -> None:
    with pytest.raises(OptionError, match=word):
        build_vocab(own(), specials=specials)


def test_from_cells_to_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, vocab, out = tmp_path / "medians.tsv", tmp_path / "vocab.tsv", tmp_path / "own.dataset"
    assert main(["corpus", "medians", str(INPUT), "--filter", "golden_filter", "-o", str(table)]) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert "133 of 200 cells, 67 dropped by filter_pass" in shown
    assert "within 0.2%" in shown
    assert read_medians(table).recipe["options"]["filter"] == "golden_filter"

    assert (
        main(["corpus", "vocab", str(table), "--specials", "pad,mask,cls,eos", "--min-cells", "3", "-o", str(vocab)])
        == 0
    )
    found, made = read_medians(table), read_vocab(vocab)
    kept = [gene for gene, n in zip(found.gene_ids, found.n_nonzero_g, strict=True) if n >= 3]
    assert list(made.gene_ids) == kept
    assert made.tokens_g[0] == 4
    assert [made.medians_g[0]] == [found.to_dict()[kept[0]]]
    assert f"{len(found) - len(kept):,} left out" in capsys.readouterr().err

    assert main(["corpus", "tokenize", str(INPUT), "--vocab", str(vocab), "-o", str(out)]) == 0
    capsys.readouterr()
    import datasets

    row = datasets.load_from_disk(str(out))[0]["input_ids"]
    assert (row[0], row[-1]) == (2, 3)
    assert max(row) < made.size


def test_json_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, vocab = tmp_path / "medians.tsv", tmp_path / "vocab.tsv"
    assert main(["corpus", "medians", str(INPUT), "--method", "exact", "-o", str(table), "--json"]) == 0
    recipe = json.loads(capsys.readouterr().out)
    assert recipe["method"]["name"] == "exact"
    assert recipe["genes_seen"] == 8_754
    assert main(["corpus", "vocab", str(table), "-o", str(vocab), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["size"], summary["genes"], summary["left_out"]) == (8_756, 8_754, 0)
    assert summary["sha256"] == read_vocab(vocab).sha256


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "mean"], "histogram, exact, tdigest"),
        (["--biotypes", "protein coding"], "biotype"),
        (["--filter", "nothing"], "nothing"),
        (["--genes", "nowhere.txt"], "nowhere.txt"),
        (["--qc", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["corpus", "medians", str(INPUT), "-o", str(tmp_path / "m.tsv"), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error
    assert not list(tmp_path.iterdir())


def test_vocab_refuses_other_files_and_keeps_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.tsv"
    other.write_text("id\tnonzero_median\nENSG1\t2.0\n")
    assert main(["corpus", "vocab", str(other), "-o", str(tmp_path / "v.tsv")]) == 2
    assert "corpus medians" in capsys.readouterr().err
    medians(INPUT, tmp_path / "m.tsv")
    assert main(["corpus", "vocab", str(tmp_path / "m.tsv"), "-o", str(other)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert other.read_text().startswith("id\t")


@pytest.mark.parametrize("command", ["medians", "vocab"])
def test_help_says_that_medians_cannot_be_merged(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", command, "--help"]) == 0
    assert "cannot be merged" in " ".join(capsys.readouterr().out.replace("│", " ").split())
