"""The benchmark end to end, on real bundled cells and on made ones whose truth is known."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.benchmarks.coregulation import benchmark, card_compat, evaluate
from corpuscle.counts import open_counts
from corpuscle.datasets import Pair, bundled, bundled_path
from corpuscle.errors import NotCountsError, OptionError, SourceError
from corpuscle.normalize import Normalizer
from tests.coregulation.conftest import FAST, made_light_chains, made_reporter


def only(result, **where):
    rows = result.details
    for column, value in where.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, rows
    return rows.iloc[0]


# -- what is known to be true --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_cells", "r"),
    [("pbmc_1k_v2", 145, -0.619), ("pbmc_1k_v3", 175, -0.644), ("pbmc_8k_5p_1kcells", 182, -0.388)],
)
def test_light_chains_in_marker_b_cells_of_the_real_samples(name, n_cells, r):
    result = evaluate(bundled_path(name), "log1p_cp10k", **FAST)[0]
    assert result.pair_values.shape == (n_cells, 2)
    assert result.score.r == pytest.approx(r, abs=0.01)


def test_a_true_reporter_is_found_by_the_baseline():
    result = evaluate(made_reporter(), "log1p_cp10k", **FAST)[0]
    assert result.score.percentile > 0.95
    assert result.rest["rank"] == 1
    assert result.rest["excess"] == pytest.approx(result.score.r, abs=0.1)


def test_the_union_mask_makes_independent_chains_negative_and_the_null_says_so():
    cells = made_light_chains()
    union = evaluate(cells, "log1p_cp10k", cells="card_union", **(FAST | {"n_null": 100}))[0]
    assert union.score.r < -0.2
    assert abs(union.rest["excess"]) < 3 * union.rest["r_null_sd"]
    markers = evaluate(cells, "log1p_cp10k", **FAST)[0]
    assert abs(markers.score.r) < 0.15


def test_a_smoother_is_caught_inflating_unrelated_genes(pbmc_path):
    result = benchmark([pbmc_path], ["log1p_cp10k", "knn_smooth"], variants=False, controls=False, **FAST)
    pair = {"pair": "IGKC_vs_IGLC2"}
    assert only(result, method="log1p_cp10k", **pair)["inflation_index"] == pytest.approx(1.0)
    assert only(result, method="knn_smooth", **pair)["inflation_index"] > 2


def test_the_composite_lambda_and_the_depth_without_the_pair_are_reported_beside(pbmc_path):
    result = benchmark([pbmc_path], ["log1p_cp10k"], controls=False, **FAST)
    variants = result.details.groupby("variant")["pair"].agg(sorted).to_dict()
    assert variants == {
        "composite_lambda": ["IGKC_vs_IGLC1-7"],
        "default": ["IGKC_vs_IGLC2", "IGKC_vs_IGLC3"],
        "leave_pair_out_depth": ["IGKC_vs_IGLC2", "IGKC_vs_IGLC3"],
    }
    default = only(result, variant="default", pair="IGKC_vs_IGLC2")["r"]
    without = only(result, variant="leave_pair_out_depth", pair="IGKC_vs_IGLC2")["r"]
    assert default != without
    assert without < -0.3


# -- rules that keep numbers comparable ----------------------------------------------------------------------


def numbers(result, method):
    rows = result.details[result.details["method"] == method]
    return rows.drop(columns=["seconds", "peak_mib"]).reset_index(drop=True)


def test_adding_a_method_or_a_sample_changes_nobody_elses_numbers(pbmc_path):
    options = FAST | {"background": "matched_random", "controls": False}
    alone = benchmark([pbmc_path], ["log1p_cp10k"], **options)
    crowd = benchmark([made_reporter(), pbmc_path], ["sqrt", "log1p_cp10k", "pearson_analytic"], **options)
    mine = numbers(crowd, "log1p_cp10k")
    mine = mine[mine["sample_id"] != "made"].reset_index(drop=True)
    pd.testing.assert_frame_equal(numbers(alone, "log1p_cp10k")[mine.columns], mine)


def test_all_methods_get_the_same_background(pbmc_path):
    result = benchmark([pbmc_path], ["raw", "rank", "pearson_analytic"], controls=False, variants=False, **FAST)
    genes = result.extras["background"].groupby(["pair", "method"])["gene"].agg(tuple)
    assert genes.groupby("pair").nunique().eq(1).all()


def test_same_seed_same_bytes_and_another_seed_another_draw(tmp_path):
    def csv(name, seed):
        result = benchmark([made_reporter()], ["log1p_cp10k", "sqrt"], seed=seed, **FAST)
        return (result.save(tmp_path / name) / "results.csv").read_bytes()

    first = csv("a", 3)
    assert csv("b", 3) == first
    assert csv("c", 4) != first


def test_scaling_and_shifting_the_values_changes_no_score():
    class Scaled(Normalizer):
        name, formula, needs = "scaled", "7 log1p + 2", "columns"
        inductive = False

        def fit(self, counts):
            return self

        def transform(self, counts, genes=None):
            x = counts.columns(counts.gene_index(genes)).toarray()
            return 7 * np.log1p(1e4 * x / counts.profile().depth_n[:, None]) / np.log(10) + 2

    result = benchmark([made_reporter()], ["log1p_cp10k", Scaled()], controls=False, **FAST)
    ours, theirs = (only(result, method=m) for m in ("log1p_cp10k", "scaled"))
    for column in ("r", "z", "z_robust", "percentile", "rank", "ci_low", "ci_high", "inflation_index"):
        assert ours[column] == pytest.approx(theirs[column], rel=1e-9), column


@pytest.mark.parametrize("cells", ["auto", "card_union"])
def test_every_measure_judges_every_kind_of_method(cells):
    from corpuscle.benchmarks.coregulation.association import MEASURES

    measures = tuple(name for name, measure in MEASURES.items() if not measure.on_counts)
    result = benchmark(
        [made_light_chains(n=200)], ["log1p_cp10k", "scran", "knn_smooth"],
        association=measures, cells=cells, controls=False, variants=False, **(FAST | {"n_boot": 3, "n_null": 3}),
    )  # fmt: skip
    assert result.failures.empty
    rows = result.details[result.details["status"] == "ok"]
    assert set(rows["association"]) == set(measures)
    assert rows["r_null_mean"].notna().all()


def test_without_bootstrap_and_null_the_scores_are_the_same_and_have_no_interval():
    light = {"n_boot": 0, "n_null": 0, "n_null_refits": 0, "controls": False, "n_background": 60}
    bare, full = (evaluate(made_reporter(), "log1p_cp10k", **options)[0] for options in (light, light | {"n_boot": 20}))
    assert bare.score == full.score
    assert "ci_low" not in bare.rest and "ci_low" in full.rest
    result = benchmark([made_reporter()], ["log1p_cp10k"], **light)
    assert result.failures.empty
    value = result.table.query("metric == 'percentile' and dataset == 'all'").iloc[0]
    assert value["ci_low"] <= value["value"] <= value["ci_high"]


# -- the data card ---------------------------------------------------------------------------------------------


def snippet(adata, reporter, target):
    """The card's promoter-reporter snippet, as its users would run it."""
    from scipy.stats import pearsonr

    totals = np.asarray(adata.X.sum(axis=1)).ravel()

    def value(gene):
        return np.log10(1e4 * adata[:, gene].X.toarray().ravel() / totals + 1)

    candidates = [g for g in adata.var_names if g not in (reporter, target)]
    drawn = np.random.default_rng(42).choice(candidates, 500, replace=False)
    with np.errstate(all="ignore"):
        background = [pearsonr(value(reporter), value(gene))[0] for gene in drawn]
    return pearsonr(value(reporter), value(target))[0], np.median(background)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("silent", [0, 40])
def test_card_numbers_equal_the_snippet_nan_included(silent):
    made = made_reporter(n=120, g=560)
    x = made.X.tolil()
    x[:, :silent] = 0
    made.X = sp.csr_matrix(x)
    made.X.eliminate_zeros()
    r, median = snippet(made, "eGFP", "Sox9")
    card = card_compat(open_counts(made), Pair("eGFP", "reporter", "eGFP", "Sox9"))
    assert card.r == r
    assert np.isnan(card.median) == np.isnan(median) == (silent > 0)
    if not silent:
        assert card.median == median
    assert np.isfinite(card.median_defined)


def test_card_median_is_undefined_on_a_real_sample_with_all_its_genes():
    path = bundled_path("pbmc_1k_v2")
    result = benchmark([path], ["log1p_cp10k"], controls=False, variants=False, **FAST)
    card = result.extras["compat"].set_index("pair").loc["IGKC_vs_IGLC2"]
    assert card["card_n_cells"] == 182
    assert card["card_r"] == pytest.approx(-0.473, abs=0.01)
    assert np.isnan(card["card_median"]) and card["card_n_nan"] > 100


# -- failures are rows, not crashes ----------------------------------------------------------------------------


class _Bad(Normalizer):
    formula, needs, inductive = "", "matrix", False

    def fit(self, counts):
        return self


class ReturnsNaN(_Bad):
    name = "returns_nan"

    def transform(self, counts, genes=None):
        values = counts.columns(counts.gene_index(genes)).toarray().astype(float)
        values[0, -1] = np.nan
        return values


class WrongShape(_Bad):
    name = "wrong_shape"

    def transform(self, counts, genes=None):
        return np.zeros((3, 3))


class Raises(_Bad):
    name = "raises"

    def fit(self, counts):
        raise ValueError("a line\nand another")


class Constant(_Bad):
    name = "constant"

    def transform(self, counts, genes=None):
        return np.ones((counts.n_obs, len(genes)))


def test_bad_methods_are_reported_and_the_others_go_on():
    methods = [ReturnsNaN(), WrongShape(), Raises(), Constant(), "log1p_cp10k"]
    result = benchmark([made_reporter()], methods, controls=False, **FAST)
    status = result.details.set_index("method")["status"].to_dict()
    assert status == {
        "returns_nan": "failed", "wrong_shape": "failed", "raises": "failed", "constant": "undefined", "log1p_cp10k": "ok",
    }  # fmt: skip
    reasons = result.failures.set_index("method")["reason"]
    assert "NaN" in reasons["returns_nan"]
    assert "(3, 3)" in reasons["wrong_shape"]
    assert reasons["raises"] == "ValueError: a line and another"
    score = result.table.query("metric == 'percentile' and dataset == 'all' and task == 'promoter_reporter'").set_index(
        "method"
    )
    assert (score.loc[["returns_nan", "constant"], "value"] == 0.5).all()
    assert score.loc["log1p_cp10k", "value"] > 0.9


def test_a_constant_value_is_undefined_with_its_reason_and_never_zero():
    result = benchmark([made_reporter()], [Constant(), "log1p_cp10k"], controls=False, **FAST)
    row = only(result, method="constant")
    assert np.isnan(row["r"])
    assert "zero_variance" in row["reason"]


def test_bad_sources_are_reported_and_the_others_go_on(tmp_path, pbmc_path):
    normalised = made_reporter(name="normalised")
    normalised.X = sp.csr_matrix(np.log1p(normalised.X.toarray()))
    broken = tmp_path / "broken.h5ad"
    broken.write_bytes(pbmc_path.read_bytes()[:5000])
    no_pair = made_reporter(name="no_pair")
    del no_pair.uns["reporters"]
    silent = made_reporter(name="silent")
    x = silent.X.tolil()
    x[:, -1] = 0
    silent.X = sp.csr_matrix(x)
    silent.X.eliminate_zeros()
    no_b = made_light_chains()
    markers = no_b.var_names.isin(["CD79A", "MS4A1", "CD79B", "BANK1", "CD19"])
    no_b.X = sp.csr_matrix(np.where(markers[None, :], 0, no_b.X.toarray()))
    sources = [normalised, str(broken), str(tmp_path / "none.h5ad"), no_pair, silent, no_b, made_reporter()]
    result = benchmark(sources, ["log1p_cp10k"], controls=False, **FAST)
    reasons = " | ".join(result.failures["reason"])
    for words in ("fractional", "broken.h5ad", "none.h5ad", "no pair to judge by", "Sox9 is zero in all", "no B cell"):
        assert words in reasons, (words, reasons)
    assert (result.details.query("sample_id == 'made'")["status"] == "ok").all()


def test_nothing_but_failures_still_gives_a_result(tmp_path):
    result = benchmark([str(tmp_path / "none.h5ad")], ["log1p_cp10k"])
    assert result.table.empty and len(result.failures) == 1
    assert (result.save(tmp_path / "out") / "report.html").exists()


def test_option_errors():
    with pytest.raises(OptionError, match="no method is called 'magick'"):
        benchmark([made_reporter()], ["magick"])
    with pytest.raises(OptionError, match="given twice"):
        benchmark([made_reporter()], ["raw", "raw"])
    with pytest.raises(OptionError, match="background 'best'"):
        benchmark([made_reporter()], ["raw"], background="best")
    with pytest.raises(OptionError, match="association 'love'"):
        benchmark([made_reporter()], ["raw"], association="love")
    with pytest.raises(OptionError, match="give it as a method"):
        benchmark([made_reporter()], ["raw"], association="cscore")
    with pytest.raises(SourceError, match="no source"):
        benchmark([], ["raw"])
    with pytest.raises(NotCountsError):
        negative = made_reporter()
        negative.X = negative.X.astype(float)
        negative.X.data[0] = -1
        evaluate(negative, "raw")


# -- methods may not see the truth ------------------------------------------------------------------------------


def test_a_method_sees_no_ground_truth():
    seen = []

    class Nosy(_Bad):
        name = "nosy"

        def fit(self, counts):
            seen.append(counts.uns)
            return self

        def transform(self, counts, genes=None):
            return counts.columns(counts.gene_index(genes)).toarray().astype(float)

    benchmark([made_reporter()], [Nosy()], **FAST)
    assert seen and not any(seen)


# -- controls -----------------------------------------------------------------------------------------------------


def test_controls_and_count_splits_are_there_and_tell_signal_from_noise():
    made = made_reporter(depth_sd=0.4)
    result = benchmark([made], ["raw", "log1p_cp10k"], **FAST)
    controls = result.extras["controls"].set_index(["method", "control", "metric"])["value"]
    assert controls["raw", "depth_corr", "median_abs_r"] > 2 * controls["log1p_cp10k", "depth_corr", "median_abs_r"]
    assert controls["raw", "null_genes", "mean_r"] > controls["log1p_cp10k", "null_genes", "mean_r"] + 0.02
    assert controls["log1p_cp10k", "thinned_50", "r"] < only(result, method="log1p_cp10k")["r"]
    assert {"depth_half_low", "depth_half_high", "thinned_25"} <= set(result.extras["controls"]["control"])
    split = result.extras["count_split"]
    assert split.groupby("method").size().nunique() == 1
    assert (split["r"].between(-1, 1)).all()


def test_sample_key_splits_a_file_into_samples(pbmc_path):
    import anndata as ad

    adata = ad.read_h5ad(pbmc_path)
    adata.obs["donor"] = np.where(np.arange(adata.n_obs) % 2, "odd", "even")
    result = benchmark([adata], ["log1p_cp10k"], sample_key="donor", controls=False, variants=False, **FAST)
    assert sorted(result.details["sample_id"].str.rpartition(":")[2].unique()) == ["even", "odd"]


def test_every_bundled_file_declares_both_pairs():
    for path in bundled().values():
        with open_counts(path) as counts:
            assert set(counts.uns["exclusion_pairs"]) == {"IGKC_vs_IGLC2", "IGKC_vs_IGLC3"}
