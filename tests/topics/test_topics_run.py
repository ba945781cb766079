"""The run as a user meets it: numbers, failures as rows, resuming, the page, the command."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pandas as pd
import pytest
from topic_cells import GENES, Blind, Failing, Knowing, Spoiling, Turned, planted, planted_sets

from corpuscle.benchmarks import topics
from corpuscle.benchmarks.topics.methods import checked_topics
from corpuscle.cli import main
from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.report import COLUMNS, Result

QUICK = {"n_topics": 4, "seeds": 2, "n_top_genes": None, "gsea_permutations": 50}
TEN = [
    "interpretation_purity", "topic_coherence", "topic_diversity", "topic_quality", "ora_n_enriched", "ora_n_unique",
    "ora_unique_fraction", "gsea_n_enriched", "gsea_n_unique", "gsea_unique_fraction",
]  # fmt: skip


def run(methods, sources=None, **options):
    sources = [planted()] if sources is None else sources
    options = QUICK | {"gene_sets": planted_sets()} | options
    return topics.benchmark(sources, methods, **options)


@pytest.fixture(scope="module")
def result():
    return run([Knowing(), Blind("blind"), "nmf", "shuffled"])


def mean(result, metric, method="knowing", dataset="all"):
    table = result.table
    rows = table[(table["metric"] == metric) & (table["method"] == method) & (table["dataset"] == dataset)]
    return rows["value"].mean()


def test_planted_programs_score_as_the_truth_and_noise_does_not(result):
    assert mean(result, "interpretation_purity") == 1.0
    assert mean(result, "type_f1") == 1.0
    assert mean(result, "topic_coherence") > 2 * mean(result, "topic_coherence", "blind")
    assert mean(result, "ora_n_unique") >= 3 > mean(result, "ora_n_unique", "blind")
    assert mean(result, "gsea_n_unique") >= 3 > mean(result, "gsea_n_unique", "blind")
    assert mean(result, "topic_stability_centred") > 0.7 > 0.5 > mean(result, "topic_stability_centred", "blind")
    assert (
        result.leaderboard()["method"][0] in ("knowing", "nmf")
        and list(result.leaderboard()["control"]).count(True) == 1
    )


def test_the_ten_numbers_stand_beside_their_published_names(result):
    names = result.extras["names"].set_index("name")["published"]
    assert list(names[TEN]) == [
        "IP", "TC", "TD", "TQ", "ORA_N", "ORA_U or ORA_Q", "ORA_Q or ORA_U", "GSEA_N", "GSEA_U or GSEA_Q",
        "GSEA_Q or GSEA_U",
    ]  # fmt: skip
    assert set(TEN) <= set(result.table["metric"])
    assert list(result.table) == COLUMNS and set(result.table["benchmark"]) == {"topics"}


def test_every_undefined_number_has_a_reason(result):
    runs = result.table[(result.table["dataset"] != "all") & result.table["value"].isna()]
    reasons = result.extras["undefined"].groupby(["dataset", "method", "metric"])["reason"].first()
    assert len(runs)
    for row in runs.to_dict("records"):
        assert reasons[row["dataset"], row["method"], row["metric"]] != ""
    assert mean(result, "interpretation_purity", "shuffled") != mean(result, "interpretation_purity", "shuffled")  # NaN


def test_quality_is_a_product_in_every_run(result):
    details = result.details
    product = details["topic_coherence"] * details["topic_diversity"]
    np.testing.assert_allclose(details["topic_quality"], product)


def test_the_shuffled_control_shares_the_fit_and_loses_the_sets(result):
    top = result.extras["top_genes"].set_index("method")
    assert list(top.loc["nmf", "weight"]) == list(top.loc["shuffled", "weight"])
    assert list(top.loc["nmf", "gene"]) != list(top.loc["shuffled", "gene"])
    assert mean(result, "topic_diversity", "nmf") == mean(result, "topic_diversity", "shuffled")
    assert mean(result, "topic_coherence", "nmf") > mean(result, "topic_coherence", "shuffled")


def test_methods_see_genes_counts_and_logs_and_no_label():
    method = Knowing()
    run([method], seeds=1)
    (cells,) = method._seen
    assert set(vars(cells)) == {"name", "counts_ng", "genes", "batch_n", "view_ne", "log_ng"}
    assert cells.counts_ng.dtype.kind in "iu" and cells.log_ng.dtype == np.float32
    depth_n = np.asarray(cells.counts_ng.sum(axis=1)).ravel()
    first = cells.counts_ng[0].toarray().ravel()
    np.testing.assert_allclose(cells.log_ng[0].toarray().ravel(), np.log1p(first / depth_n[0] * 1e4), rtol=1e-5)


def test_the_same_variable_genes_for_all_on_the_depth_of_all_genes():
    method, adata = Knowing(), planted()
    run([method], [adata], n_top_genes=60, seeds=1)
    (cells,) = method._seen
    assert len(cells.genes) == 60 and cells.counts_ng.shape == cells.log_ng.shape == (adata.n_obs, 60)
    depth = adata.X[0].sum()  # of all genes, not of the 60
    first = cells.counts_ng[0].toarray().ravel()
    np.testing.assert_allclose(cells.log_ng[0].toarray().ravel(), np.log1p(first / depth * 1e4), rtol=1e-5)


def test_the_same_call_gives_the_same_numbers(result):
    again = run([Knowing(), Blind("blind"), "nmf", "shuffled"])
    pd.testing.assert_frame_equal(
        result.table.drop(columns=["seconds", "peak_mib"]), again.table.drop(columns=["seconds", "peak_mib"])
    )


# -- failures ----------------------------------------------------------------------------------------------------


def test_failures_are_rows_and_hurt_nobody_else():
    found = run([Spoiling("spoiling"), Turned("turned"), Failing("failing"), Knowing()])
    reasons = found.failures.set_index(["method", "stage"])["reason"]
    assert reasons["spoiling", "fit, seed 0"] == "MemoryError: spoilt"
    assert (
        "transpose it" in reasons["turned", "fit, seed 0"] and f"({len(GENES)}, 4)" in reasons["turned", "fit, seed 0"]
    )
    assert reasons["failing", "fit, seed 1"] == "RuntimeError: no luck with this seed"
    assert len(found.failures) == 5
    assert mean(found, "interpretation_purity") == 1.0
    details = found.details.set_index(["method", "seed"])
    assert details.loc[("failing", 0), "status"] == "ok" and math.isnan(details.loc[("failing", 1), "topic_diversity"])
    assert math.isnan(mean(found, "topic_stability_cosine", "failing"))
    board = found.leaderboard().set_index("method")
    assert board.loc["failing", "failed_fraction"] == 0.5 and board.loc["turned", "failed_fraction"] == 1.0
    assert "spoilt" in found.html()


def test_a_method_that_lacks_a_data_set_has_no_mean():
    class Picky(Blind):
        def fit(self, cells, *, n_topics, seed):
            if cells.name == "AnnData#2":
                raise ValueError("not this one")
            return super().fit(cells, n_topics=n_topics, seed=seed)

    found = run([Picky("picky"), Knowing()], [planted(), planted(seed=1)], enrich=False)
    assert math.isnan(mean(found, "topic_diversity", "picky"))
    assert math.isfinite(mean(found, "topic_diversity", "picky", "AnnData"))
    assert math.isfinite(mean(found, "topic_diversity"))


def test_a_source_that_cannot_be_read_stops_no_other(tmp_path):
    logged = planted()
    logged.X = logged.X.astype(float)
    logged.X.data = np.log1p(logged.X.data)
    logged.write_h5ad(tmp_path / "logged.h5ad")
    found = run([Knowing()], [tmp_path / "logged.h5ad", tmp_path / "none.h5ad", planted()], enrich=False)
    assert set(found.failures["stage"]) == {"open"} and len(found.failures) == 2
    assert "fractional" in found.failures["reason"][0] and mean(found, "interpretation_purity") == 1.0


def test_without_labels_purity_is_undefined_and_only_a_named_column_must_be_there():
    bare = planted(labels=None)
    found = run([Knowing()], [bare], enrich=False)
    assert found.failures.empty and math.isnan(mean(found, "interpretation_purity", dataset="AnnData"))
    reason = found.extras["undefined"].set_index("metric")["reason"]["interpretation_purity"]
    assert "no obs column 'cell_type'" in reason
    assert math.isfinite(mean(found, "topic_diversity"))
    wrong = run([Knowing()], [bare], labels="kind", enrich=False)
    assert "no obs column 'kind'" in wrong.failures["reason"][0] and wrong.details.empty


def test_labels_are_read_from_the_named_column_and_unlabelled_cells_left_out():
    adata = planted(labels="kind")
    adata.obs["kind"] = adata.obs["kind"].where(np.arange(adata.n_obs) >= 12, "unassigned")
    method = Knowing()
    found = run([method], [adata], labels="kind", seeds=1, enrich=False)
    assert method._seen[0].n_cells == adata.n_obs - 12
    assert mean(found, "interpretation_purity") == 1.0 and "12 of 120" in found.extras["data"]["note"][0]


def test_gene_sets_of_another_species_are_a_failure_that_leaves_the_other_numbers(tmp_path):
    lower = tmp_path / "mouse.gmt"
    lower.write_text("".join(f"{name}\tx\t" + "\t".join(g.capitalize() for g in genes) + "\n"
                             for name, genes in planted_sets().sets.items()))  # fmt: skip
    found = run([Knowing()], gene_sets=lower)
    (failure,) = found.failures.to_dict("records")
    assert failure["stage"] == "gene sets" and "species mismatch" in failure["reason"]
    assert mean(found, "interpretation_purity") == 1.0 and math.isnan(mean(found, "topic_coherence", dataset="AnnData"))


def test_without_gene_sets_or_enrichment_the_rest_is_there():
    without = run([Knowing()], gene_sets=())
    assert without.failures.empty and math.isfinite(mean(without, "topic_diversity"))
    no_gsea = run([Knowing()], gsea_permutations=0)
    assert math.isfinite(mean(no_gsea, "ora_n_enriched")) and math.isnan(
        mean(no_gsea, "gsea_n_enriched", dataset="AnnData")
    )
    not_at_all = run([Knowing()], enrich=False)
    assert math.isnan(mean(not_at_all, "ora_n_enriched", dataset="AnnData"))
    assert math.isfinite(mean(not_at_all, "topic_coherence"))


def test_an_enrichment_that_fails_is_a_row_and_not_kept_as_done(tmp_path, monkeypatch):
    import gseapy

    with monkeypatch.context() as broken:
        broken.setattr(gseapy, "enrich", lambda *_, **__: 1 / 0)
        found = run([Knowing()], seeds=1, out=tmp_path)
    assert "ZeroDivisionError" in found.failures["reason"][0] and found.failures["stage"][0] == "ora, seed 0"
    assert math.isfinite(mean(found, "gsea_n_enriched"))
    assert run([Knowing()], seeds=1, out=tmp_path).failures.empty


# -- resuming ----------------------------------------------------------------------------------------------------


def test_finished_fits_are_not_done_again_and_give_the_same_numbers(tmp_path):
    first, second = Knowing(), Knowing()
    before = run([first], out=tmp_path)
    after = run([second], out=tmp_path)
    assert (first.fits, second.fits) == (2, 0)
    pd.testing.assert_frame_equal(before.table, after.table)
    for name, frame in before.extras.items():
        pd.testing.assert_frame_equal(frame, after.extras[name], obj=name)


def test_only_what_is_missing_damaged_or_of_other_options_is_done_again(tmp_path):
    run([Knowing()], out=tmp_path)
    parts = sorted((tmp_path / "parts").glob("*.json"))
    parts[0].write_text(parts[0].read_text()[:200])
    method = Knowing()
    run([method], out=tmp_path, seeds=3)
    assert method.fits == 2  # the damaged one and the new seed
    other = Knowing()
    run([other], out=tmp_path, top_genes=5)
    assert other.fits == 2
    changed = Knowing()
    run([changed], [planted(seed=3)], out=tmp_path)
    assert changed.fits == 2


def test_an_interrupted_run_keeps_what_was_finished(tmp_path):
    broken = [True]

    class Stopped(Knowing):
        def fit(self, cells, *, n_topics, seed):
            if seed == 1 and broken:
                raise KeyboardInterrupt
            return super().fit(cells, n_topics=n_topics, seed=seed)

    with pytest.raises(KeyboardInterrupt):
        run([Stopped()], out=tmp_path)
    broken.clear()
    method = Stopped()
    assert run([method], out=tmp_path).failures.empty
    assert method.fits == 1


# -- methods by name ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ("nmff", "no topic method is called 'nmff'"),
        ("nmf:iterations=3", "has no parameter 'iterations'"),
        ("nmf:max_iter=many", "max_iter=many cannot be read"),
        ("nmf,nmf", "given twice"),
        ([object()], "is no topic method"),
        ([], "no method was given"),
        ("sce2tm:n_topics=7", "is the benchmark's to choose"),
    ],
)
def test_a_wrong_method_is_refused_before_any_work(methods, words):
    with pytest.raises(OptionError, match=words.replace("(", r"\(")):
        topics.as_readings(methods)


def test_parameters_are_part_of_the_name_and_readings_share_a_fit():
    plain, few, prob, twin = topics.as_readings("nmf,nmf:max_iter=3,nmf@shuffled,shuffled")
    assert [one.name for one in (plain, few, prob, twin)] == ["nmf", "nmf:max_iter=3", "nmf@shuffled", "shuffled"]
    assert few.method.max_iter == 3 and plain.method is prob.method is twin.method


def test_a_ranking_that_does_not_exist_is_that_rows_failure():
    found = run("nmf@best", seeds=1, enrich=False)
    assert "has no ranking 'best'; it has: own, shuffled" in found.failures["reason"][0]


def test_options_that_make_no_sense_are_refused():
    for options, words in (
        ({"n_topics": 1}, "n_topics is 1"), ({"seeds": 0}, "no seed"), ({"seeds": [1, 1]}, "different"),
        ({"n_top_genes": 3}, "n_top_genes is 3"), ({"gsea_permutations": -1}, "gsea_permutations"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=words):
            run([Knowing()], **options)
    with pytest.raises(SourceError, match="no source"):
        run([Knowing()], [])


def test_what_a_method_returns_is_checked():
    method = Knowing()
    run([method], seeds=1, enrich=False)
    cells = method._seen[0]
    good = method.fit(cells, n_topics=4, seed=0)
    with pytest.raises(MethodError, match="returned a tuple, not Topics"):
        checked_topics((1, 2), "m", cells, 4)
    with pytest.raises(MethodError, match="not all finite"):
        checked_topics(topics.Topics(good.cell_topic_nk * np.nan, good.topic_gene_kg, good.genes), "m", cells, 4)
    with pytest.raises(MethodError, match="not those of the cells"):
        checked_topics(topics.Topics(good.cell_topic_nk, good.topic_gene_kg, good.genes[::-1]), "m", cells, 4)


@pytest.mark.parametrize("name", ["nmf", "linear_scvi", "amortized_lda", "sce2tm"])
def test_built_in_methods_give_topics_by_genes_and_repeat(name):
    torch = pytest.importorskip("torch") if name != "nmf" else None
    if torch is not None:
        torch.set_num_threads(1)
    seen = Knowing()
    run([seen], seeds=1, enrich=False)
    cells = seen._seen[0]
    short = "max_iter" if name == "nmf" else "max_epochs"
    method = topics.topic_method(name, **{short: 3})
    assert "seed" in inspect.signature(method.fit).parameters
    first, again, other = (checked_topics(method.fit(cells, n_topics=5, seed=s), name, cells, 5) for s in (1, 1, 2))
    assert first.topic_gene_kg.shape == (5, len(cells.genes))
    np.testing.assert_array_equal(first.topic_gene_kg, again.topic_gene_kg)
    np.testing.assert_array_equal(first.cell_topic_nk, again.cell_topic_nk)
    assert not np.array_equal(first.topic_gene_kg, other.topic_gene_kg)
    if name == "sce2tm":
        np.testing.assert_allclose(first.topic_gene_kg.sum(axis=0), 1, atol=1e-4)  # own ranking: over topics
        np.testing.assert_allclose(first.also["prob"].sum(axis=1), 1, atol=1e-4)  # @prob: over genes


# -- what a user sees --------------------------------------------------------------------------------------------


def test_a_saved_result_has_its_page_and_plots(result, tmp_path):
    result.save(tmp_path)
    loaded = Result.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.leaderboard(), result.leaderboard())
    page = (tmp_path / "report.html").read_text()
    for words in ("Topic benchmark", "P0", "AnnData · knowing", "ORA_U or ORA_Q", "Data and gene sets"):
        assert words in page, words
    for kind in ("leaderboard", "tradeoff", "types"):
        assert result.plot(kind).axes
    assert list(result.summary()["method"]) == list(result.leaderboard()["method"])


def test_a_result_of_failures_only_still_has_a_page(tmp_path):
    found = run([Turned("turned")])
    assert "No method gave topics" in found.html()
    found.save(tmp_path)
    with pytest.raises(OptionError, match="nothing was measured"):
        found.plot()


def test_the_command_writes_the_result_and_repeats_it_byte_for_byte(tmp_path, capsys):
    planted().write_h5ad(tmp_path / "cells.h5ad")
    gmt = tmp_path / "sets.gmt"
    gmt.write_text("".join("\t".join([name, "x", *genes]) + "\n" for name, genes in planted_sets().sets.items()))
    args = ["bench", "topics", str(tmp_path / "cells.h5ad"), "--gene-sets", str(gmt), "--methods", "nmf:max_iter=20,shuffled",
            "--topics", "4", "--seeds", "2", "--genes", "0", "--permutations", "20"]  # fmt: skip
    assert main([*args, "-o", str(tmp_path / "a")]) == 0
    assert "quality" in capsys.readouterr().err
    assert main([*args, "-o", str(tmp_path / "b")]) == 0
    assert (tmp_path / "a" / "results.csv").read_bytes() == (tmp_path / "b" / "results.csv").read_bytes()
    about = json.loads((tmp_path / "a" / "run.json").read_text())
    assert {one["dataset"] for one in about["inputs"]} == {"cells", "gene sets"} and about["parameters"][
        "n_topics"
    ] == 4
    assert main(["report", str(tmp_path / "a")]) == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--methods", "nmff"], "no topic method is called"),
        (["--gene-sets", "none.gmt"], "there is no such file"),
        (["--topics", "1"], "n_topics is 1"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_nothing(tmp_path, capsys, args, words):
    planted().write_h5ad(tmp_path / "cells.h5ad")
    assert main(["bench", "topics", str(tmp_path / "cells.h5ad"), *args, "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: ") and words in err and "\n" not in err
    assert not list((tmp_path / "out").iterdir())
