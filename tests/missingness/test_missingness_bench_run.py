"""The benchmark of missing values as a user meets it: rows for everything, the same holes for all, no truth leaked."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from bench_missingness_fakes import Bad, BadMask, Plain, made_cells

from corpuscle.benchmarks import missingness
from corpuscle.benchmarks.missingness.metrics import METRICS
from corpuscle.errors import OptionError, OutputError, SourceError
from corpuscle.report import COLUMNS, Result

bench = partial(missingness.benchmark, draws=2, genes=40, max_cells=50)
MASKS = ["constant:p=0.6", "dropout:low=0.5,mask=none", "dropout:low=0.5,mask=oracle"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    paths = [folder / "one.h5ad", folder / "two.h5ad"]
    for seed, path in enumerate(paths):
        made_cells(seed=seed).write_h5ad(path)
    return paths


@pytest.fixture(scope="module")
def result(files) -> Result:
    return bench(files, [Plain(), Bad("raises"), "unbiased", "ratio_oracle"], MASKS)


def calls(log):
    return log.read_text().splitlines() if log.exists() else []


# -- rows --------------------------------------------------------------------------------------------------------


def test_every_run_is_a_row_that_says_what_was_told(result):
    assert list(result.table) == COLUMNS
    everywhere = {"zero_fill", "mean_fill", "plain", "raises", "unbiased"}
    by_task = result.details.groupby("task")["method"].agg(set)
    assert by_task["constant:p=0.6"] == everywhere | {"ratio_oracle"}
    assert by_task["dropout:low=0.5,mask=none"] == everywhere, "where values decide there are no probabilities to tell"
    assert len(result.details) == 2 * 2 * (6 + 5 + 5)
    told = dict(result.details[["method", "told"]].drop_duplicates().itertuples(index=False, name=None))
    assert told["unbiased"] == told["mean_fill"] == "nothing" != told["ratio_oracle"]
    masks = dict(result.details[["task", "mask_told"]].drop_duplicates().itertuples(index=False, name=None))
    assert masks["dropout:low=0.5,mask=oracle"] == "which entries were lost"
    done = result.details[result.details["status"] == "ok"]
    assert (done["n"] == 50).all() and (done["n_features"] == 40).all() and (done["n_types"] == 3).all()
    assert done[list(METRICS)].notna().all(axis=None)
    assert done.loc[done["kind"] == "random", "missing_share"].mean() == pytest.approx(0.4, abs=0.03)


def test_the_fills_take_part_whatever_was_asked(files):
    found = bench(files[:1], [Plain()], MASKS[:1], draws=1)
    assert set(found.details["method"]) == {"zero_fill", "mean_fill", "plain"}


def test_what_fills_alike_is_judged_alike_and_its_difference_is_nothing(result):
    of = result.details[result.details["status"] == "ok"].set_index(["dataset", "task", "seed", "method"])
    metrics = [name for name in METRICS if not name.startswith("knn")]  # equal distances may break ties by rounding
    left, right = (of.xs(method, level="method")[metrics] for method in ("plain", "mean_fill"))
    np.testing.assert_allclose(left, right, atol=1e-9)
    pairs = result.extras["paired"].query("method == 'plain' and metric == 'd2_error'")
    np.testing.assert_allclose(pairs["difference"], 0, atol=1e-9)


def test_the_correction_has_better_distances_than_both_fills(result):
    of = result.leaderboard().query("task == 'constant:p=0.6'").set_index("method")["d2_error"]
    assert of["unbiased"] < 0.85 * min(of["zero_fill"], of["mean_fill"])


def test_masks_that_differ_in_what_is_called_missing_lose_the_same_values(files):
    spy = Plain()
    bench(files[:1], [spy], MASKS[1:], draws=1)
    none, oracle = (given.x_nd for given in spy._seen)
    assert not np.isnan(none).any() and np.isnan(oracle).any()
    assert (none[np.isnan(oracle)] == 0).all()
    np.testing.assert_array_equal(none[~np.isnan(oracle)], oracle[~np.isnan(oracle)])


# -- what methods may see ----------------------------------------------------------------------------------------


def test_all_methods_of_a_draw_see_the_same_holes_and_another_draw_has_others(files):
    one, two = Plain("one"), Plain("two")
    bench(files, [one, two], MASKS[:1])
    for a, b in zip(one._seen, two._seen, strict=True):
        np.testing.assert_array_equal(a.x_nd, b.x_nd)
        np.testing.assert_array_equal(a.observed_nd, ~np.isnan(a.x_nd))
    holes = [given.observed_nd.tobytes() for given in one._seen]
    assert len(set(holes)) == 4, "two data sets, two draws"


def test_probabilities_are_shown_only_to_methods_that_ask_and_nothing_can_be_written(files):
    blind, told = Plain("blind"), Plain("told", needs_p=True)
    told.told = "the probabilities"
    bench(files[:1], [blind, told], MASKS[:1], draws=1)
    assert blind._seen[0].p_nd is None and (told._seen[0].p_nd == 0.6).all()
    assert {"x_nd", "observed_nd", "p_nd", "seed"} == set(vars(blind._seen[0]))
    with pytest.raises(ValueError, match="read-only"):
        told._seen[0].x_nd[0, 0] = 1.0


# -- failures ----------------------------------------------------------------------------------------------------


def test_a_method_that_fails_is_a_line_a_run_and_stops_no_other(result):
    rows = result.details[result.details["method"] == "raises"]
    assert len(rows) == 12 and (rows["reason"] == "ValueError: no luck").all() and rows["d2_error"].isna().all()
    assert set(result.failures["method"]) == {"raises"} and len(result.failures) == 12
    assert result.failures["stage"].str.contains("method, seed").all()


@pytest.mark.parametrize(
    ("name", "words"),
    [("exits", "enough"), ("short", "gram_nn has shape"), ("undefined", "finite"), ("nothing", "NoneType")],
)
def test_whatever_a_method_does_wrong_the_next_one_still_runs(files, name, words):
    found = bench(files[:1], [Bad(name), Plain()], MASKS[:1], draws=1)
    assert words in found.failures["reason"].iloc[0] and len(found.failures) == 1
    assert set(found.details.query("status == 'ok'")["method"]) == {"zero_fill", "mean_fill", "plain"}


def test_a_mask_that_fails_is_one_line_a_draw_and_a_failed_row_for_each_method(files):
    found = bench(files[:1], [Plain()], [BadMask(), MASKS[0]])
    assert found.failures["stage"].tolist() == ["bad_mask, mask, seed 0", "bad_mask, mask, seed 1"]
    rows = found.details[found.details["task"] == "bad_mask"]
    assert len(rows) == 6 and (rows["reason"] == "RuntimeError: no holes").all()
    assert (found.details.loc[found.details["task"] == "constant:p=0.6", "status"] == "ok").all()


def test_a_source_that_cannot_be_used_stops_only_itself_and_says_so_once(files, tmp_path):
    unlabelled = made_cells()
    del unlabelled.obs["cell_type"]
    unlabelled.write_h5ad(tmp_path / "unlabelled.h5ad")
    (tmp_path / "broken.h5ad").write_bytes(files[0].read_bytes()[:3000])
    made_cells(n=15).write_h5ad(tmp_path / "few.h5ad")
    given = [tmp_path / name for name in ("none.h5ad", "unlabelled.h5ad", "broken.h5ad", "few.h5ad")]
    found = bench([*given, files[0]], [Plain()], MASKS[:1])
    assert len(found.failures) == 4 and set(found.failures["stage"]) == {"open"}
    assert set(found.details["dataset"]) == {"one"} and len(found.run["inputs"]) == 1


def test_a_table_without_types_has_no_clusters_and_values_below_0_no_dropout(tmp_path):
    np.save(tmp_path / "table.npy", np.random.default_rng(0).normal(size=(40, 30)))
    found = bench([tmp_path / "table.npy"], [Plain()], MASKS, draws=1)
    assert set(found.details["task"]) == {"constant:p=0.6"} and found.failures.empty
    assert found.details["ari"].isna().all() and found.details["d2_error"].notna().all()
    assert found.extras["notes"]["note"].str.contains("is left out: values below 0").sum() == 2


def test_simulations_are_data_sets_too():
    found = bench([], [Plain()], ["authors"], simulated=[60], draws=1)
    row = found.details.query("method == 'mean_fill'").iloc[0]
    assert row["dataset"] == "simulated:features=60" and row["n_features"] == 60 and np.isfinite(row["ari"])


# -- resuming, order, seeds --------------------------------------------------------------------------------------


def test_finished_runs_are_not_done_again_and_the_numbers_are_the_same(files, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    given = [Plain(log=log), Plain("oracle", log=log, needs_p=True)], MASKS
    first = bench(files, *given, out=out)
    n_calls = len(calls(log))
    assert n_calls == 2 * 2 * (3 + 1)
    again = bench(files, *given, out=out)
    assert len(calls(log)) == n_calls
    pd.testing.assert_frame_equal(first.details, again.details)
    parts = sorted((out / "parts").iterdir())
    parts[0].unlink()
    parts[1].write_text("damaged")
    mended = bench(files, *given, out=out)
    measured = ["seconds", "peak_mib"]
    pd.testing.assert_frame_equal(first.details.drop(columns=measured), mended.details.drop(columns=measured))


def test_other_options_are_not_taken_for_runs_that_were_kept(files, tmp_path):
    log = tmp_path / "log"
    run = partial(bench, files[:1], [Plain(log=log)], MASKS[:1], draws=1, out=tmp_path / "out")
    run()
    for changed in ({"genes": 30}, {"max_cells": 40}, {"seed": 5}):
        before = len(calls(log))
        run(**changed)
        assert len(calls(log)) == before + 1, changed


def test_a_failed_run_is_tried_again(files, tmp_path):
    failed = bench(files[:1], [Bad("raises")], MASKS[:1], draws=1, out=tmp_path)
    assert len(failed.failures) == 1 and not [p for p in (tmp_path / "parts").iterdir() if "raises" in p.name]


def test_results_are_the_same_bytes_for_the_same_seeds(files, tmp_path):
    masks = ["uniform:low=0.3"]
    csv = [
        (bench(files[:1], ["unbiased", "soft_impute"], masks).save(tmp_path / str(i)) / "results.csv").read_bytes()
        for i in range(2)
    ]
    assert csv[0] == csv[1]
    other = bench(files[:1], ["unbiased", "soft_impute"], masks, seed=7).save(tmp_path / "other") / "results.csv"
    assert other.read_bytes() != csv[0]


def test_another_method_mask_or_data_set_changes_no_number_of_the_others(files):
    few = bench(files[:1], ["unbiased"], MASKS[:1])
    many = bench(files, [Plain(), "ht", "unbiased"], ["authors", *MASKS])
    columns = ["dataset", "task", "method", "seed", *METRICS]
    both = many.details[
        (many.details["task"] == MASKS[0]) & many.details["method"].isin(["zero_fill", "mean_fill", "unbiased"])
    ]
    both = both[both["dataset"] == "one"]
    pd.testing.assert_frame_equal(few.details[columns], both[columns].reset_index(drop=True))


def test_a_place_that_cannot_be_written_is_said_before_any_work(files, tmp_path):
    (tmp_path / "file").write_text("")
    log = tmp_path / "log"
    with pytest.raises(OutputError):
        bench(files, [Plain(log=log)], MASKS[:1], out=tmp_path / "file" / "out")
    assert not calls(log)


# -- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "masks", "words"),
    [
        (["unbised"], None, "unbised"),
        (["ht", "ht"], None, "given twice"),
        (["ppca:ranks=2"], None, "ranks"),
        ([object()], None, "no method"),
        ([], None, "no method was given"),
        (None, ["constnt"], "constnt"),
        (None, ["constant:q=1"], "q"),
        (None, ["constant:p=0.5", "constant"], "given twice"),
        (None, [object()], "no mask"),
        (None, [], "no mask was given"),
    ],
)
def test_a_wrong_word_is_said_before_any_work(files, methods, masks, words):
    with pytest.raises(OptionError) as caught:
        bench(files, methods, masks)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, "draw"), ({"draws": [1, 1]}, "different"), ({"draws": [-1]}, "negative"), ({"genes": 5}, "genes"),
        ({"max_cells": 5}, "max_cells"), ({"simulated": [5]}, "features"), ({"simulated": [50, 50]}, "twice"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_said_before_any_work(files, options, words, tmp_path):
    log = tmp_path / "log"
    with pytest.raises(OptionError, match=words):
        bench(files, [Plain(log=log)], MASKS[:1], **options)
    assert not calls(log)


def test_no_source_at_all_is_an_error():
    with pytest.raises(SourceError, match="no source"):
        bench([])
