"""The protocol: what is held out, what is kept, what is compared, and what a cheat and a null control get."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rare_run_fakes import SMALL, Crashing, Noted, Peeking, made_samples

from corpuscle.benchmarks.rare_labels import _one, benchmark
from corpuscle.benchmarks.rare_labels import run as run_module
from corpuscle.benchmarks.rare_labels._data import sample_sources
from corpuscle.benchmarks.rare_labels._draw import choose_targets, draws
from corpuscle.benchmarks.rare_labels.compare import Scored, _Resampled, comparisons, verdicts
from corpuscle.benchmarks.rare_labels.options import Options
from corpuscle.benchmarks.rare_labels.score import METRICS, classifier, scores, series_weights
from corpuscle.errors import OptionError
from corpuscle.report import Result


def samples_of(data, **options):
    (source,) = sample_sources([data], Options(**options))
    return source.read()


def test_scores_are_those_of_scikit_learn_and_a_weight_is_a_copy():
    from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

    rng = np.random.default_rng(0)
    x_nd, code_n = np.round(rng.normal(size=(90, 2)), 1), rng.integers(3, size=90)
    x_nd[:, 0] += code_n
    model = classifier(x_nd[:60], code_n[:60], np.ones(60))
    weight_bm = np.stack([np.ones(30), rng.integers(1, 4, 30)])
    found = scores(model, x_nd[60:], code_n[60:], 1, weight_bm)
    for b, weight_m in enumerate(weight_bm):
        at = np.repeat(np.arange(60, 90), weight_m.astype(int))
        true, said = code_n[at], model.predict(x_nd[at])
        assert found["auprc"][b] == pytest.approx(
            average_precision_score(true == 1, model.predict_proba(x_nd[at])[:, 1])
        )
        assert found["f1"][b] == pytest.approx(f1_score(true == 1, said == 1))
        assert found["recall"][b] == pytest.approx(recall_score(true == 1, said == 1))
        assert found["precision"][b] == pytest.approx(precision_score(true == 1, said == 1))
        others = f1_score(true, said, labels=[0, 2], average="macro")
        assert found["macro_f1_others"][b] == pytest.approx(others)


def test_resamples_take_whole_series_and_never_lose_the_label():
    groups_m, is_target_m = np.repeat(np.arange(4), 5), np.arange(20) < 3
    weight_bm = series_weights(groups_m, is_target_m, 0, "x")
    by_group = weight_bm.reshape(-1, 4, 5)
    assert (by_group == by_group[:, :, :1]).all() and (weight_bm.sum(axis=1) == 20).all()
    assert (weight_bm[:, is_target_m].sum(axis=1) > 0).all()
    np.testing.assert_array_equal(weight_bm, series_weights(groups_m, is_target_m, 0, "x"))


def test_no_series_is_on_both_sides_and_rare_draws_are_nested_and_spread():
    samples = samples_of(made_samples())
    target = samples.names.index("rare")
    found, note = draws(samples, target, (4, 12), 3, 20)
    assert note == "" and [draw.rarity for draw in found] == [4, 12]
    assert (found[0].test_m == found[1].test_m).all()
    for draw in found:
        train_code = samples.code_n[draw.train_n]
        assert not set(samples.groups_n[draw.train_n]) & set(samples.groups_n[draw.test_m])
        assert (train_code == target).sum() == draw.rarity and np.bincount(train_code).max() <= 20
        held = np.flatnonzero(np.isin(samples.groups_n, samples.groups_n[draw.test_m]))
        np.testing.assert_array_equal(draw.test_m, held)  # the test set is full
    assert set(found[0].train_n) < set(found[1].train_n)
    own = found[0].train_n[samples.code_n[found[0].train_n] == target]
    assert len(set(samples.groups_n[own])) == 4


def test_of_two_series_one_is_held_out_and_a_rarity_that_cannot_be_is_said():
    samples = samples_of(made_samples(n=60, n_series=2))
    found, note = draws(samples, samples.names.index("rare"), (5, 50), 0, 300)
    assert [draw.rarity for draw in found] == [5] and "50 training samples" in note


def test_targets_are_chosen_by_size_alone_and_a_single_sample_is_no_target():
    data = made_samples()
    data.obs["cell_type"] = data.obs["cell_type"].where(np.arange(240) != 0, "alone")
    data.obs.loc[data.obs_names[3:30:3], "cell_type"] = "rare"
    samples = samples_of(data)
    targets, notes = choose_targets(samples, (5, 20), (), 2)
    assert [samples.names[t] for t in targets] == ["rare", "third"]
    assert "'alone' has 1 sample" in notes[0]
    with pytest.raises(OptionError, match="no label can be made rare"):
        choose_targets(samples, (5,), ("alone",), 2)


def test_samples_are_drawn_down_from_the_most_frequent_labels_and_unlabelled_ones_left_out():
    data = made_samples()
    data.obs["cell_type"] = np.where(np.arange(240) < 10, "unknown", data.obs["cell_type"])
    samples = samples_of(data, max_samples=90)
    assert samples.counts.n_obs == 90 and np.bincount(samples.code_n).tolist() == [30, 30, 30]
    assert any("10 of 240 samples have no label" in note for note in samples.notes)
    wanted = data.obs.loc[samples.counts.obs.index, "cell_type"].tolist()
    assert [samples.names[code] for code in samples.code_n] == wanted


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Result:
    out = tmp_path_factory.mktemp("run")
    made = benchmark([made_samples()], ["smote", Crashing(), Noted(out / "log")], out=out, **SMALL)
    made.run["out"] = str(out)
    return made


def test_a_result_is_tidy_and_a_crash_is_a_row_with_its_reason(result):
    table, details = result.table, result.details
    assert set(table["method"]) == {"none", "class_weight", "smote", "noted"}
    assert {"rare, r=5, x5", "rare, r=5", "r=5, x5", "r=5"} == set(table["task"])
    assert set(METRICS) | {"tstr", "trts", "tstr_ratio", "trtr"} == set(table["metric"])
    crashed = details[details["method"] == "crashing"]
    assert len(crashed) == 2 and crashed["reason"].str.contains("RuntimeError: out of luck").all()
    assert len(result.failures) == 2 and (result.failures["method"] == "crashing").all()
    smote = details[details["method"] == "smote"]
    assert (
        (smote["n_synthetic"] == 25).all() and (smote["split"] == "series").all() and smote["tstr"].notna().sum() == 1
    )
    assert (details.loc[details["method"] == "class_weight", "amount"] == "").all()
    copier = result.extras["fidelity"].query("method == 'noted' and figure == 'nearest_ratio'")
    assert copier["value"].iloc[0] == 0 and copier["of"].iloc[0] == "memorisation"


def test_the_same_seed_gives_the_same_numbers_and_finished_runs_are_not_done_again(result, tmp_path):
    from pathlib import Path

    out = Path(result.run["out"])
    calls = (out / "log").read_text().splitlines()
    assert len(calls) == 2
    again = benchmark([made_samples()], ["smote", Crashing(), Noted(out / "log")], out=out, **SMALL)
    assert (out / "log").read_text().splitlines() == calls
    fresh = benchmark([made_samples()], ["smote", Crashing(), Noted(tmp_path / "log")], **SMALL)
    for other in (again, fresh):
        columns = ["value", "ci_low", "ci_high", "method", "task", "metric", "n"]
        pd.testing.assert_frame_equal(result.table[columns], other.table[columns])
        pd.testing.assert_frame_equal(result.extras["comparisons"], other.extras["comparisons"])
    more = benchmark([made_samples()], [Noted(out / "log")], out=out, **(SMALL | {"pcs": 8}))
    assert len((out / "log").read_text().splitlines()) == 4 and not more.failures.size


def test_all_arms_of_a_draw_see_the_same_training_samples_and_only_those(tmp_path):
    benchmark([made_samples()], [Noted(tmp_path / "a", "a"), Noted(tmp_path / "b", "b")], **SMALL)
    seen = [(tmp_path / name).read_text() for name in "ab"]
    assert seen[0] == seen[1]
    sizes = {int(line.split()[1]) for line in seen[0].splitlines()}
    assert max(sizes) <= 5 + 2 * 60  # two thirds of 240 samples at most, of which the label keeps 5


def test_an_arm_that_knows_the_held_out_samples_is_accepted_and_a_copier_is_not(monkeypatch, tmp_path):
    cheat, problem_of = Peeking(), _one.problem_of

    def told(samples, draw, options):
        Peeking.problem = problem_of(samples, draw, options)
        return Peeking.problem

    monkeypatch.setattr(run_module, "problem_of", told)
    hard = made_samples(strength=0.15, series=0.02, n=480)
    arms = ["smote", cheat, Noted(tmp_path / "log")]
    found = benchmark([hard], arms, **(SMALL | {"repeats": 4, "pcs": 50}))
    rows = found.extras["verdict"].set_index("method")
    assert rows.loc["peeking", "accepted"] and rows.loc["peeking", "difference"] > 0.1
    assert not rows.loc["noted", "accepted"] and rows.loc["noted", "copies"] == rows.loc["noted", "judged"] == 1
    assert found.leaderboard()["method"].iloc[0] == "peeking"


def test_a_generator_trained_on_shuffled_labels_does_not_help_and_is_never_ranked():
    pytest.importorskip("torch")
    found = benchmark([made_samples()], ["vae_shuffled:epochs=3"], **SMALL)
    assert set(found.leaderboard()["role"]) == {"reference"}
    rows = found.extras["comparisons"]
    gain = rows[(rows["role"] == "null") & (rows["metric"] == "auprc") & (rows["rarity"] == "all")]
    assert len(gain) == 1 and gain["difference"].iloc[0] < 0.03
    assert "verdict" not in found.extras and "nulls" in found.html()


def scored(value_of: dict[str, list[float]], roles: dict[str, str]) -> Scored:
    """Draws of one label with replicates around their values."""
    rng = np.random.default_rng(0)
    rows = [
        {"dataset": "d", "label": "l", "seed": s, "rarity": 5, "method": m, "amount": "", "role": roles[m]}
        | dict.fromkeys(METRICS, value)
        for m, values in value_of.items()
        for s, value in enumerate(values)
    ]
    frame = pd.DataFrame(rows)
    noise_rb = rng.normal(0, 0.01, (len(frame), 100))
    return Scored(frame, {metric: frame[metric].to_numpy()[:, None] + noise_rb for metric in METRICS})


def test_a_candidate_is_held_against_the_best_cheap_arm_of_its_own_draws():
    roles = {"class_weight": "reference", "smote": "cheap", "gan": "candidate", "vae": "candidate"}
    of = scored({"class_weight": [0.3] * 6, "smote": [0.6] * 6, "gan": [0.5] * 6, "vae": [0.7] * 6}, roles)
    rows = verdicts(of, pd.DataFrame({"method": [], "verdict": []}), 0).set_index("method")
    assert set(rows["best_cheap"]) == {"smote"}
    assert rows["accepted"].to_dict() == {"gan": False, "vae": True}
    against = comparisons(of, 0).query("metric == 'auprc' and rarity == 'all'").set_index("method")
    assert against.loc["gan", "difference"] == pytest.approx(0.2) and against.loc["gan", "ci_low"] > 0.15
    assert (against["p_holm"] >= against["p"]).all()


def test_the_interval_covers_the_spread_over_repeats_and_data_sets():
    resampled = _Resampled(np.array(["a"] * 5 + ["b"] * 5), 1, np.random.default_rng(0))
    same = resampled(np.ones((10, 1)))
    assert (same == 1).all()
    apart = resampled(np.repeat([0.0, 1.0], 5)[:, None])
    assert sorted(set(apart)) == [0.0, 0.5, 1.0] and abs(apart.mean() - 0.5) < 0.05


def test_cells_become_pseudobulk_samples_by_group_and_label():
    samples = samples_of(made_samples(n=360), pseudobulk=True, min_cells=5)
    assert samples.counts.n_obs == 18 and np.bincount(samples.code_n).tolist() == [6, 6, 6]
    assert len(np.unique(samples.groups_n)) == 6


def test_without_series_the_split_is_random_and_every_row_says_so():
    found = benchmark([made_samples()], ["oversample"], groups=None, **SMALL)
    assert set(found.details["split"]) == {"random"}
    assert "too high" in found.run["inputs"][0]["note"] and "split at random" in found.html()
