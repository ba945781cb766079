"""The page and the numbers of a data set agree with its cells, whoever named the files and however many there are."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from tests.pages import Seen

from corpuscle.cli import main
from corpuscle.corpus._padding import padding_table
from corpuscle.corpus.facts import CorpusFacts, corpus_facts
from corpuscle.corpus.tokenize import tokenize
from corpuscle.corpus.verify import verify
from corpuscle.errors import OptionError, SourceError
from corpuscle.report import render
from corpuscle.report._corpus_figures import lengths_figure, short_names
from corpuscle.report._corpus_words import percent
from corpuscle.report.corpus_page import corpus_page, save_corpus_page

GOLDEN = Path(__file__).parent / "golden" / "input.h5ad"
HOSTILE = "<script>alert(1)</script>\"'&</style><!--\ud800"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources: the first 150 golden cells, and the others with most of their genes under unknown names."""
    folder = tmp_path_factory.mktemp("report")
    cells = ad.read_h5ad(GOLDEN)
    first, second = cells[:150].copy(), cells[150:].copy()
    first.obs["keep"] = np.arange(150) < 60
    second.obs["keep"] = True
    totals = np.asarray(second.X.sum(axis=0)).ravel()
    unknown = np.argsort(-totals)[:1_000]
    ids = second.var["ensembl_id"].astype(str).to_numpy()
    ids[unknown] = [f"XYZ{i}" for i in unknown]
    second.var["ensembl_id"] = ids
    for name, part in (("a/cells.h5ad", first), ("b/cells.h5ad", second)):
        (folder / name).parent.mkdir()
        part.write_h5ad(folder / name)
    out = folder / "two.dataset"
    paths = [folder / "a/cells.h5ad", folder / "b/cells.h5ad"]
    tokenize([str(p) for p in paths], out, filter="keep", max_len=512, min_match=0.0, shard_cells=64, symbols="never")
    return out


@pytest.fixture(scope="module")
def facts(built: Path) -> CorpusFacts:
    return corpus_facts(built)


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy.dataset"))


def with_manifest(facts: CorpusFacts, change: Callable[[dict[str, Any]], Any], folder: Path) -> CorpusFacts:
    manifest = json.loads(json.dumps(facts.manifest))
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return corpus_facts(folder)


# -- the numbers ---------------------------------------------------------------------------------------------


def test_facts_are_those_of_the_cells(built: Path, facts: CorpusFacts) -> None:
    from datasets import load_from_disk

    lengths = np.array([len(row) for row in load_from_disk(str(built))["input_ids"]])
    assert (facts.rows, facts.tokens) == (lengths.size, lengths.sum()) == (110, lengths.sum())
    assert np.array_equal(facts.lengths_l, np.bincount(lengths, minlength=513))
    assert facts.quantiles[50] == np.percentile(lengths, 50, method="inverted_cdf")
    assert facts.quantiles[0] == lengths.min() and facts.quantiles[100] == lengths.max()
    assert facts.drops["filter_pass"] == 90
    first, second = facts.sources.to_dict("records")
    assert (first["cells"], first["rows"], first["dropped"]) == (150, 60, 90)
    assert first["tokens_mean"] == lengths[:60].mean()
    assert second["match_counts"] < 0.5 < first["match_counts"]
    assert second["match_genes"] < first["match_genes"]
    total = sum(source["counts_total"] for source in facts.manifest["sources"])
    matched = sum(source["counts_matched"] for source in facts.manifest["sources"])
    assert facts.match_counts == matched / total


def test_what_stands_out_is_said(facts: CorpusFacts) -> None:
    warned = {(Path(one.source).parent.name, one.text[:10]) for one in facts.warnings()}
    assert ("b", "only " + percent(facts.sources["match_counts"][1], 0) + " o") in warned
    assert ("a", "60% of its") in warned
    assert any("were cut at 512" in one.text for one in facts.warnings())
    assert any("XYZ" in one.text for one in facts.warnings())


def test_no_cell_is_undefined_and_not_0(built: Path, facts: CorpusFacts) -> None:
    none = replace(facts, rows=0, tokens=0, truncated=0, lengths_l=np.zeros(513, int), quantiles={})
    html = render(corpus_page(none))
    assert "No cell is in this data set" in html
    assert padding_table(np.empty(0, np.int32))["random"].isna().all()


def test_padding_is_what_batches_of_that_order_have() -> None:
    lengths = np.array([10, 2, 10, 2, 10, 2, 10, 2], np.int32)
    table = padding_table(lengths, (2,))
    assert table["stored"][0] == pytest.approx(1 - 48 / 80)
    random = np.random.default_rng(0).integers(100, 2_049, 300_000).astype(np.int32)
    table = padding_table(random)
    assert (table["grouped"] < 0.05).all() and (table["random"] > 0.3).all()
    assert table.equals(padding_table(random))
    ordered = np.sort(random)
    assert (padding_table(ordered)["stored"] < 0.01).all()
    assert padding_table(ordered)["random"].to_numpy() == pytest.approx(table["random"].to_numpy(), abs=0.01)


def test_lengths_that_cannot_be_are_refused(folder: Path) -> None:
    np.save(folder / "lengths.npy", np.full(110, 513, np.int32))
    with pytest.raises(SourceError, match=r"lengths\.npy"):
        corpus_facts(folder)
    np.save(folder / "lengths.npy", np.zeros(7, np.int32))
    with pytest.raises(SourceError, match="110 rows"):
        corpus_facts(folder)


# -- the page ------------------------------------------------------------------------------------------------


def test_the_page_shows_the_numbers(facts: CorpusFacts) -> None:
    html = render(corpus_page(facts))
    seen = Seen(html)
    text = " ".join(seen.texts)
    assert f"110 cells of 2 sources became {facts.tokens:,} tokens" in text
    assert percent(facts.match_counts) in text
    assert f"{facts.truncated} cells" in text and "512 tokens" in text
    ids = [attrs["id"] for _, attrs in seen.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    assert {"warnings", "lengths", "match", "drops", "tokens", "sources", "made", "words"} <= set(ids)
    assert facts.manifest["vocabulary"]["sha256"] in text
    assert facts.manifest["sources"][1]["fingerprint"] in text


def test_the_page_loads_nothing_and_names_cannot_become_markup(folder: Path, facts: CorpusFacts) -> None:
    def spoil(manifest: dict[str, Any]) -> None:
        for source in manifest["sources"]:
            source["name"] += HOSTILE
            source["depth"] = HOSTILE
            source["match"].update(unmatched_examples=[HOSTILE], species=HOSTILE, column=HOSTILE, kind=HOSTILE)
            source["dropped"][HOSTILE] = 0
        manifest["vocabulary"].update(name=HOSTILE)
        manifest["options"][HOSTILE] = [HOSTILE]

    with_manifest(facts, spoil, folder)
    html = save_corpus_page(folder).read_text(encoding="utf-8")
    seen = Seen(html)
    scripts = [attrs for tag, attrs in seen.tags if tag == "script"]
    assert len(scripts) == 1 and "src" not in scripts[0]
    links = [attrs.get("href") or "" for _, attrs in seen.tags] + [attrs.get("src") or "" for _, attrs in seen.tags]
    assert all(link.startswith(("#", "data:")) or not link for link in links)
    assert "alert(1)" in html and "<script>alert" not in html
    assert not re.search(r"""\son\w+=""", re.sub(r"<script>.*?</script>", "", html, flags=re.S))


def test_600_sources_make_a_page_that_folds(folder: Path, facts: CorpusFacts) -> None:
    def many(manifest: dict[str, Any]) -> None:
        one = manifest["sources"][1]
        manifest["sources"] = [json.loads(json.dumps({**one, "name": f"study/{i}/cells.h5ad"})) for i in range(600)]

    html = render(corpus_page(with_manifest(facts, many, folder)))
    opened = re.sub(r"<details>.*?</details>", "", html, flags=re.S)
    assert html.count("study/599/cells.h5ad") and not opened.count("study/599/cells.h5ad")
    assert opened.count('<div class="lane"') < 60
    assert len(html) < 4_000_000


def test_names_are_as_short_as_they_can_be() -> None:
    assert short_names(["x/a/c.h5ad", "x/b/c.h5ad", "x/d.h5ad"]) == ["a/c.h5ad", "b/c.h5ad", "d.h5ad"]
    assert short_names(["AnnData", "AnnData"]) == ["AnnData", "AnnData"]


def test_the_limit_does_not_dwarf_the_other_lengths(facts: CorpusFacts) -> None:
    lengths_l = np.zeros(513, int)
    lengths_l[[100, 200, 512]] = 20, 10, 100_000
    figure = str(lengths_figure(replace(facts, lengths_l=lengths_l, rows=100_030, truncated=99_999)))
    assert "99,999 cells" in figure
    assert "V0" in figure and "V50" in figure
    lengths_l[:] = 0
    lengths_l[512] = 7
    assert "V0" in str(lengths_figure(replace(facts, lengths_l=lengths_l)))


def test_shares_are_not_rounded_to_all_or_nothing() -> None:
    assert percent(0.99999) == "> 99.9%" and percent(0.00001) == "< 0.1%"
    assert percent(1.0) == "100.0%" and percent(0.0) == "0.0%" and percent(float("nan")) == "undefined"


# -- the command ---------------------------------------------------------------------------------------------


def test_the_command_writes_the_page_and_the_data_set_stays_right(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["corpus", "report", str(folder)]) == 0
    assert str(folder / "report.html") in capfd.readouterr().err
    first = (folder / "report.html").read_bytes()
    assert verify(folder).ok
    other = tmp_path / "new" / "page.html"
    assert main(["corpus", "report", str(folder), "-o", str(other)]) == 0
    assert other.read_bytes() == first
    capfd.readouterr()
    assert main(["corpus", "report", str(folder), "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["rows"] == 110 and sum(shown["lengths"].values()) == 110 and len(shown["sources"]) == 2


def test_the_page_never_replaces_a_file_of_the_data_set(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("manifest.json", "lengths.npy", "data-00000-of-00004.arrow"):
        before = (folder / name).read_bytes()
        with pytest.raises(OptionError, match="choose another name"):
            save_corpus_page(folder, folder / name)
        assert (folder / name).read_bytes() == before
    assert main(["corpus", "report", str(folder / "nowhere")]) == 2
    assert "Traceback" not in capfd.readouterr().err
