"""Survival association: planted and absent effects, and lifelines as the judge."""

from __future__ import annotations

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from corpuscle.errors import CorpuscleError, GeneError, MethodError, OptionError, SourceError
from corpuscle.models.sce2tm._bulk import FollowUp, read_bulk
from corpuscle.models.sce2tm._score_test import null_hazard, score_test
from corpuscle.models.sce2tm.survival import random_sets, topic_scores, topic_survival

pytest.importorskip("lifelines")

N_TOPICS, T = 6, 10


def cohort(seed=0, n=160, g=400, effect=1.2, age_effect=0.0):
    """Log expression in which topic 0's genes share a factor that drives the hazard, topic 1's one that does not."""
    rng = np.random.default_rng(seed)
    mean_g = rng.uniform(1, 8, g)
    x_sg = mean_g + rng.normal(size=(n, g))
    factor = rng.normal(size=(n, 2))
    x_sg[:, :T] += 1.5 * factor[:, :1]
    x_sg[:, T : 2 * T] += 1.5 * factor[:, 1:]
    age = rng.normal(60, 10, n)
    time = rng.exponential(np.exp(-effect * factor[:, 0] - age_effect * (age - 60) / 10))
    censor = rng.exponential(2.0, n)
    samples = [f"patient{i}" for i in range(n)]
    expression = pd.DataFrame(x_sg, index=samples, columns=[f"G{i}" for i in range(g)])
    clinical = pd.DataFrame(
        {"months": np.minimum(time, censor) + 0.01, "dead": (time <= censor).astype(int), "age": age,
         "sex": rng.choice(["f", "m"], n)},
        index=samples,
    )  # fmt: skip
    genes = {k: [f"G{i}" for i in range(k * T, (k + 1) * T)] for k in range(N_TOPICS)}
    return expression, clinical, genes


def survive(expression, clinical, genes, **options):
    options = {"time": "months", "event": "dead", "clinical": clinical, "n_genes": (T,), "n_random": 99} | options
    return topic_survival(expression, genes, **options)


def test_the_topic_that_drives_the_hazard_is_found_by_every_test():
    table = survive(*cohort()).set_index("topic")
    planted = table.loc[0]
    kinds = ["cox_p", "logrank_median_p", "logrank_upper_quartile_p", "random_p"]
    assert (planted[[f"{kind}_adjusted" for kind in kinds]] < 0.1).all() and planted["cox_p_adjusted"] < 1e-6
    assert planted["hazard_ratio"] > 1.5 and planted["ci_low"] > 1 and planted["score_z"] > 4
    assert (table.loc[1:, "cox_p_adjusted"] > 0.05).all() and (table.loc[1:, "random_p_adjusted"] > 0.05).all()
    assert planted["n_events"] == cohort()[1]["dead"].sum()


def test_nothing_is_found_where_nothing_is():
    p = np.concatenate(
        [survive(*cohort(seed=seed, effect=0.0), n_random=49)[["cox_p", "random_p"]].to_numpy() for seed in range(6)]
    )
    assert np.isfinite(p).all()
    assert ((p < 0.05).mean(axis=0) < 0.17).all() and (np.abs((p < 0.5).mean(axis=0) - 0.5) < 0.25).all()


def test_where_every_gene_is_bound_to_survival_random_sets_take_the_claim_away():
    expression, clinical, genes = cohort(effect=0.0, seed=3)
    rng = np.random.default_rng(0)
    severity = -np.log(clinical["months"].to_numpy())
    spread = pd.DataFrame(
        np.outer(severity, rng.uniform(0.2, 0.6, expression.shape[1])), expression.index, expression.columns
    )
    table = survive(expression + spread, clinical, genes).set_index("topic")
    assert (table["cox_p_adjusted"] < 0.05).sum() >= 4  # "significant" topics that say nothing
    assert (table["random_p_adjusted"] > 0.05).all()


def test_numbers_are_those_of_lifelines():
    from lifelines import CoxPHFitter
    from lifelines.statistics import logrank_test

    expression, clinical, genes = cohort(age_effect=0.5)
    row = survive(expression, clinical, genes, covariates=["age", "sex"]).set_index("topic").loc[0]
    score = topic_scores(expression, genes)[0]
    frame = clinical.assign(
        score=(score - score.mean()) / score.std(ddof=0), sex=(clinical["sex"] == "m").astype(float)
    )
    fitted = CoxPHFitter().fit(frame, "months", "dead").summary.loc["score"]
    assert row["hazard_ratio"] == pytest.approx(fitted["exp(coef)"], rel=1e-3)
    assert row["cox_p"] == pytest.approx(fitted["p"], rel=1e-2)
    high = score > score.median()
    halves = (clinical[high], clinical[~high])
    expected = logrank_test(*(part["months"] for part in halves), *(part["dead"] for part in halves)).p_value
    assert row["logrank_median_p"] == pytest.approx(expected)


@pytest.mark.parametrize("tied", [False, True])
def test_the_score_test_of_two_groups_is_the_log_rank_test(tied):
    from lifelines.statistics import logrank_test

    rng = np.random.default_rng(4)
    time_s, event_s, high_s = rng.exponential(1, 80) + 0.1, rng.random(80) < 0.7, rng.random(80) < 0.4
    time_s = np.ceil(time_s * 30) / 30 if tied else time_s
    follow = FollowUp(np.arange(80), time_s, event_s, np.empty((80, 0)))
    z = score_test(follow, null_hazard(follow), high_s[:, None].astype(float))[0]
    expected = logrank_test(time_s[high_s], time_s[~high_s], event_s[high_s], event_s[~high_s]).test_statistic
    assert z**2 == pytest.approx(expected, rel=0.05 if tied else 1e-6)


def test_the_score_test_with_covariates_agrees_with_wald_for_small_effects():
    from lifelines import CoxPHFitter

    rng = np.random.default_rng(5)
    n = 400
    covariate = rng.normal(size=(n, 2))
    x = covariate[:, 0] + rng.normal(size=n)
    time_s = rng.exponential(np.exp(-0.8 * covariate[:, 0]))
    follow = FollowUp(np.arange(n), time_s, np.ones(n, bool), covariate)
    z = score_test(follow, null_hazard(follow), np.column_stack([x, np.ones(n)]))
    frame = pd.DataFrame(covariate).add_prefix("c").assign(x=x, t=time_s, e=1)
    assert z[0] == pytest.approx(CoxPHFitter().fit(frame, "t", "e").summary.loc["x", "z"], abs=0.05)
    assert np.isnan(z[1])


def test_random_sets_match_expression_leave_out_the_set_and_repeat_no_gene():
    rng = np.random.default_rng(0)
    mean_g = rng.exponential(3, 2000)
    place_t = rng.choice(2000, 50, replace=False)
    sets_bt = random_sets(mean_g, place_t, 200, np.random.default_rng(1))
    assert sets_bt.shape == (200, 50) and not np.isin(sets_bt, place_t).any()
    assert all(np.unique(row).size == 50 for row in sets_bt)
    rank_g = np.argsort(np.argsort(mean_g))
    assert np.abs(rank_g[sets_bt] - rank_g[place_t]).max() <= 200
    assert random_sets(mean_g[:12], np.arange(10), 5, rng) is None


def test_a_score_is_the_mean_z_of_the_first_genes_that_are_there():
    expression, _, genes = cohort(n=30)
    table = pd.DataFrame({"topic": 0, "gene": ["G3", "ABSENT", "G1", "G2"], "rank": [2, 3, 1, 4]})
    scores = topic_scores(expression, table, n_genes=3)
    z = (expression - expression.mean()) / expression.std(ddof=0)
    assert scores[0].to_numpy() == pytest.approx(z[["G1", "G3"]].mean(axis=1).to_numpy(), abs=1e-5)
    assert scores.attrs["n_present"] == {0: 2}
    assert np.isnan(topic_scores(expression, {"a": ["G1"], "b": ["X", "Y", "G1"]})["b"]).all()
    pd.testing.assert_frame_equal(topic_scores(ad.AnnData(expression), genes), topic_scores(expression, genes))


def test_results_repeat_and_an_anndata_brings_its_own_follow_up():
    expression, clinical, genes = cohort(n=60)
    adata = ad.AnnData(expression, obs=clinical)
    table = survive(adata, None, genes)
    pd.testing.assert_frame_equal(table, survive(expression, clinical.sample(frac=1, random_state=0), genes))


def test_a_topic_without_genes_there_is_undefined_with_a_reason_and_adjusts_nothing():
    expression, clinical, genes = cohort(n=60)
    table = survive(expression, clinical, genes | {"foreign": ["NO1", "NO2"]}).set_index("topic")
    row = table.loc["foreign"]
    assert np.isnan(row["cox_p"]) and np.isnan(row["random_p_adjusted"]) and "too few of its genes" in row["reason"]
    alone = survive(expression, clinical, genes).set_index("topic")
    assert table.loc[0, "cox_p_adjusted"] == pytest.approx(alone.loc[0, "cox_p_adjusted"])


def test_words_for_status_need_their_meaning_said():
    expression, clinical, genes = cohort(n=60)
    words = clinical.assign(dead=np.where(clinical["dead"] == 1, "1:DECEASED", "0:LIVING"))
    with pytest.raises(OptionError, match=r"0:LIVING, 1:DECEASED; say which means the event with event_value="):
        survive(expression, words, genes)
    told = survive(expression, words, genes, event_value="1:DECEASED")
    pd.testing.assert_frame_equal(told, survive(expression, clinical, genes))


def spoil(column, value):
    def change(expression, clinical, genes):
        clinical.loc["patient3", column] = value
        return expression, clinical, genes

    return change


def twice(expression, clinical, genes):
    return expression.rename(columns={"G1": "G2"}), clinical, genes


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (spoil("months", 0.0), SourceError, r"patient3 has no follow-up time above 0 \(months\), 1 such"),
        (spoil("months", np.nan), SourceError, "patient3 has no follow-up time"),
        (spoil("dead", np.nan), SourceError, "patient3 is of unknown status"),
        (spoil("dead", 7), OptionError, "dead is 7 in a sample"),
        (twice, GeneError, "gene G2 is there twice"),
        (lambda x, c, t: (x, c.assign(dead=0), t), MethodError, "60 samples with 0 events"),
        (lambda x, c, t: (x[:1], c, t), SourceError, "has 1 sample"),
        (lambda x, c, t: (x[:5], c, t), MethodError, "5 samples"),
        (lambda x, c, t: (x, c.set_axis([f"other{i}" for i in range(len(c))]), t), SourceError, "no sample of the expr"),
        (lambda x, c, t: (x, c.drop(columns="months"), t), OptionError, "no column 'months'"),
        (lambda x, c, t: (x, None, t), OptionError, "pass clinical="),
        (lambda x, c, t: (x, c, {0: ["Sox9"]}), GeneError, "called like G0 and the topics' like Sox9"),
        (lambda x, c, t: (x, c, {}), OptionError, "topic_genes is empty"),
        (lambda x, c, t: (x, c, pd.DataFrame({"gene": ["G1"]})), OptionError, "columns topic and gene"),
        (lambda x, c, t: (x * np.nan, c, t), SourceError, "sample patient0, gene G0 is nan"),
        (lambda x, c, t: (x.astype(str) + "?", c, t), SourceError, "holds text"),
        (lambda x, c, t: (x.to_numpy(), c, t), SourceError, "a data frame of samples x genes"),
    ],
)  # fmt: skip
def test_bad_cohorts_are_refused_in_one_line(change, error, words):
    with pytest.raises(error, match=words) as caught:
        survive(*change(*cohort(n=60)))
    assert "\n" not in str(caught.value)


def test_unusable_samples_can_be_left_out_and_then_are_as_if_never_there():
    expression, clinical, genes = cohort(n=60)
    clinical.loc["patient3", "months"], clinical.loc["patient7", "dead"] = -1.0, np.nan
    kept = clinical.index.drop(["patient3", "patient7"])
    table = survive(expression, clinical, genes, drop_unusable=True)
    pd.testing.assert_frame_equal(table, survive(expression.loc[kept], clinical.loc[kept], genes), rtol=1e-4)


def test_constant_genes_are_no_genes():
    expression, _, _ = cohort(n=30)
    expression["G0"] = 5.0
    assert "G0" not in read_bulk(expression).genes


def test_without_lifelines_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lifelines", None)
    with pytest.raises(CorpuscleError, match=r"corpuscle\[interpret\]"):
        survive(*cohort(n=30))
