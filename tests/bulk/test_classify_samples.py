"""The classifier as a whole: splits, leakage, folders, hostile files, the commands and their page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import skops.io
from anndata import AnnData
from tests.pages import Seen

from corpuscle import open_counts
from corpuscle.bulk import Features, Labels, pseudobulk, series_groups
from corpuscle.bulk.classify import MODELS, SampleClassifier, evaluate
from corpuscle.bulk.classify._splits import folds_of
from corpuscle.bulk.classify._task import task_of
from corpuscle.bulk.classify._vectors import Vectors
from corpuscle.bulk.classify.models.random_forest import RandomForest
from corpuscle.cli import main
from corpuscle.errors import GeneError, OptionError, OutputError, SourceError

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
TISSUES = ["liver", "brain", "<b>skin</b>"]


def samples(n_series: int = 18, each: int = 4, g: int = 60, *, signal: float = 1.0, seed: int = 0) -> AnnData:
    """Series of one tissue each; ``signal`` 0 leaves series that differ and tissues that do not."""
    random = np.random.default_rng(seed)
    tissue_s = np.arange(n_series) % 3
    level_tg = random.normal(0, signal, (3, g))
    log_ng = np.repeat(random.normal(5, 0.6, (n_series, g)) + level_tg[tissue_s], each, axis=0)
    n = n_series * each
    obs = pd.DataFrame(
        {"series_id": np.repeat([f"GSE{i}" for i in range(n_series)], each),
         "tissue": np.repeat(np.array(TISSUES, object)[tissue_s], each), "singlecellprobability": 0.9},
        index=[f"GSM{i}" for i in range(n)],
    )  # fmt: skip
    return AnnData(
        sp.csr_matrix(random.poisson(np.exp(log_ng))), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(g)])
    )


def parts(made: AnnData) -> tuple[Any, Labels, Any]:
    counts = open_counts(made)
    return counts, Labels.from_obs(counts, "tissue"), series_groups(made.obs)[0]


FEW = Features(n_pcs=10, n_genes=50)


# -- splits and leakage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_no_series_is_on_both_sides(seed: int) -> None:
    counts, labels, series_n = parts(samples())
    task = task_of(counts, labels, series_n, judged=True)
    tested = []
    for train, test in folds_of(task.rarest_m, task.series_m, "series", 4, seed):
        assert not set(task.series_m[train]) & set(task.series_m[test])
        tested += test.tolist()
    assert sorted(tested) == list(range(72))


def test_replicated_noise_is_told_at_random_and_is_chance_by_series() -> None:
    counts, labels, series_n = parts(samples(30, signal=0.0))
    made = evaluate(counts, labels, series_n, models=("logistic",), features=Features(n_pcs=50), n_boot=60)
    assert made.value("logistic", "macro_f1", "random") > 0.95
    assert made.value("logistic") < 0.55
    gap = made.gaps.query("metric == 'macro_f1'").iloc[0]
    assert gap["ci_low"] > 0.2 and gap["gap"] == pytest.approx(gap["at_random"] - gap["by_series"])


@pytest.mark.parametrize("model", sorted(set(MODELS) - {"random_forest", "majority"}))
def test_models_find_what_is_there(model: str) -> None:
    counts, labels, series_n = parts(samples())
    made = evaluate(counts, labels, series_n, models=(model,), compare=False, folds=3, features=FEW, n_boot=10)
    assert made.value(model) > 0.85
    assert made.predictions["right"].mean() > 0.85 and not len(made.gaps)


def test_the_same_seed_gives_the_same_tables() -> None:
    counts, labels, series_n = parts(samples(12))
    one, two = (
        evaluate(counts, labels, series_n, models=("logistic", "reference"), features=FEW, folds=3, n_boot=20, seed=3)
        for _ in range(2)
    )
    for name in ("overall", "gaps", "by_label", "predictions"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name))
    published = one.overall.query("model == 'reference'")
    assert list(published["metric"]) == ["samples_f1"] and 0 <= published["value"].iloc[0] <= 1


# -- labels that cannot be judged, several labels, strangers -------------------------------------------------------


def test_labels_of_two_series_are_left_out_and_their_samples_are_strangers() -> None:
    made = samples(20)
    made.obs.iloc[-8:, made.obs.columns.get_loc("tissue")] = "spleen"
    counts, labels, series_n = parts(made)
    found = evaluate(counts, labels, series_n, features=FEW, compare=False, n_boot=10)
    assert list(found.left_out["label"]) == ["spleen"] and "2 series" in found.left_out["reason"].iloc[0]
    assert found.info["n_labelled"] == 72 and any("cannot be judged" in line for line in found.notes)
    strangers = found.strangers.iloc[1]
    assert strangers["n"] == 8 and "not trained on" in strangers["samples"]


def test_samples_can_have_several_labels() -> None:
    made = samples()
    counts, labels, series_n = parts(made)
    y_nl = np.column_stack([labels.y_nl.toarray(), labels.y_nl.toarray()[:, 0]])  # "organ" goes with the first tissue
    both = Labels(labels.samples, (*labels.names, "organ"), sp.csr_matrix(y_nl))
    found = evaluate(counts, both, series_n, features=FEW, compare=False, n_boot=10)
    assert not found.info["exclusive"] and not len(found.confusion)
    assert found.value("logistic", "samples_f1") > 0.85
    trained = SampleClassifier(features=FEW, n_boot=10).fit(counts, both, series_n)
    told = trained.predict(counts)
    assert f"{labels.names[0]}; organ" in set(told["label"])
    forest = RandomForest(12).fit(Vectors(trained.features_, counts, "genes"), np.arange(72), y_nl, 0)
    rows = Vectors(trained.features_, counts, "genes").rows(np.arange(72))
    assert forest.scores(rows).shape == (72, 4) and ((forest.scores(rows) > 0.5) == y_nl).mean() > 0.95


def test_mistakes_are_told() -> None:
    made = samples(6)
    counts, labels, series_n = parts(made)
    with pytest.raises(OptionError, match=r"of 3 labels 0 can be used.*fewer than 3 series.*random split"):
        evaluate(counts, labels, series_n)
    with pytest.raises(OptionError, match="needs the series"):
        evaluate(counts, labels)
    with pytest.raises(OptionError, match="no model 'svm'"):
        evaluate(counts, labels, series_n, models=("svm",))
    one = Labels(labels.samples, ("liver",), labels.y_nl[:, :1])
    with pytest.raises(OptionError, match=r"one label only \(liver\)"):
        SampleClassifier().fit(counts, one, series_n)
    with pytest.raises(OptionError, match="1 sample cannot be split"):
        evaluate(open_counts(made[:1].copy()), labels, series_n[:1])
    alone = SampleClassifier(features=FEW).fit(counts, labels, np.zeros(24, int))
    assert alone.card_["scores"] == {} and any("not calibrated" in line for line in alone.card_["notes"])
    few = SampleClassifier(features=FEW, n_boot=5).fit(counts, labels, series_n)
    assert few.card_["folds"] == 5  # 6 series


# -- the forest ---------------------------------------------------------------------------------------------------


def test_a_forest_does_not_mind_the_scale_of_a_gene_and_can_be_grown_in_parts() -> None:
    class Scaled(Vectors):
        def rows(self, index: Any) -> Any:
            return super().rows(index) * np.float32(2.0) ** np.arange(self.n_dims, dtype=np.float32).clip(0, 20)

    counts, labels, _ = parts(samples())
    features, y_nl, every = Features(n_pcs=None, n_genes=40).fit(counts), labels.y_nl.toarray(), np.arange(72)
    plain, scaled = Vectors(features, counts, "genes"), Scaled(features, counts, "genes")
    one, two = (RandomForest(20).fit(x, every, y_nl, 5).scores(x.rows(every)) for x in (plain, scaled))
    assert np.array_equal(one, two)  # powers of two keep every order and every midpoint
    small = Vectors(features, counts, "genes", budget=4 * 40 * 30)
    import corpuscle.bulk.classify.models.random_forest as module

    least, module.SMALLEST_PART = module.SMALLEST_PART, 10
    try:
        dealt = RandomForest(20).fit(small, every, y_nl, 5)
    finally:
        module.SMALLEST_PART = least
    assert [len(forest.estimators_) for forest in dealt.forests] == [6, 7, 7]
    assert np.array_equal(small.rows(np.array([5, 2])), plain.rows(np.array([5, 2])))
    assert (dealt.scores(plain.rows(every)).argmax(axis=1) == y_nl.argmax(axis=1)).mean() > 0.9


# -- folders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", sorted(MODELS))
def test_a_saved_classifier_answers_the_same(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from corpuscle.bulk.classify.models import boosting

    monkeypatch.setattr(RandomForest.__init__, "__defaults__", (15,))
    monkeypatch.setattr(boosting.Boosting, "iterations", 10)
    counts, labels, series_n = parts(samples())
    made = SampleClassifier(model, features=FEW, folds=2, n_boot=5).fit(counts, labels, series_n)
    made.save(tmp_path / "m")
    loaded = SampleClassifier.load(tmp_path / "m")
    assert np.array_equal(loaded.probabilities(counts), made.probabilities(counts))
    pd.testing.assert_frame_equal(loaded.predict(counts), made.predict(counts))
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    assert card["labels"][0]["n_series"] == 6 and card["seed"] == 0 and len(card["features"]["genes_sha256"]) == 64
    readme = (tmp_path / "m" / "README.md").read_text()
    assert "<b>" not in readme and "&lt;b&gt;skin" in readme


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    counts, labels, series_n = parts(samples())
    SampleClassifier("majority", features=FEW, folds=2, n_boot=5).fit(counts, labels, series_n).save(tmp_path / "m")
    return tmp_path / "m"


class Hostile:
    """A type that no classifier has."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("false",)


def test_a_type_that_no_model_has_is_refused(folder: Path) -> None:
    skops.io.dump({"share_l": Hostile()}, folder / "model.skops")
    with pytest.raises(SourceError, match=r"which no majority model has; it was not loaded"):
        SampleClassifier.load(folder)
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier().fit([[0], [1]], [0, 1])
    skops.io.dump({"share_l": tree}, folder / "model.skops")
    with pytest.raises(SourceError, match=r"sklearn.tree._tree.Tree, which no majority model has"):
        SampleClassifier.load(folder)


def test_damaged_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "model.skops").read_bytes()
    (folder / "model.skops").write_bytes(whole[:100])
    with pytest.raises(SourceError, match="damaged"):
        SampleClassifier.load(folder)
    skops.io.dump({"share_l": np.zeros(5)}, folder / "model.skops")
    with pytest.raises(SourceError, match="shares of other labels"):
        SampleClassifier.load(folder)
    (folder / "model.skops").write_bytes(whole)
    about = json.loads((folder / "classifier.json").read_text())
    (folder / "classifier.json").write_text(json.dumps({**about, "curves": [["sigmoid", 1, 2]]}))
    with pytest.raises(SourceError, match="damaged"):
        SampleClassifier.load(folder)
    with pytest.raises(SourceError, match="cannot be read"):
        SampleClassifier.load(tmp_path / "nothing")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep")
    counts, labels, series_n = parts(samples())
    with pytest.raises(OutputError, match="something else"):
        SampleClassifier("majority", features=FEW, folds=2, n_boot=5).fit(counts, labels, series_n).save(
            tmp_path / "other"
        )


def test_genes_are_found_by_name_and_none_may_be_missing(folder: Path) -> None:
    loaded, made = SampleClassifier.load(folder), samples()
    turned = made[:, ::-1].copy()
    assert loaded.predict(open_counts(turned)).equals(loaded.predict(open_counts(made)))
    with pytest.raises(GeneError, match=r"1 of the 60 genes .* missing, such as g7"):
        loaded.predict(open_counts(made[:, made.var_names != "g7"].copy()))


# -- the commands ---------------------------------------------------------------------------------------------------


def test_train_predict_and_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, model, out = (str(tmp_path / name) for name in ("all.h5ad", "model", "out"))
    made = samples()
    made.write_h5ad(file)
    few = ["--n-pcs", "10", "--n-boot", "20", "--labels", "obs:tissue"]
    assert main(["classify", "train", file, *few, "-o", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["macro_f1"][0] > 0.85
    assert main(["classify", "train", file, *few, "-o", model]) == 2
    assert "already" in capsys.readouterr().err
    csv = tmp_path / "p.csv"
    assert main(["classify", "predict", model, file, "-o", str(csv), "--abstain", "0"]) == 0
    table = pd.read_csv(csv)
    assert (table["label"] == made.obs["tissue"].to_numpy()).mean() > 0.95 and not table["abstained"].any()
    assert table["single_cell_like"].all() and table["shallow"].all()
    assert main(["classify", "predict", model, file, "-o", str(tmp_path / "p"), "--abstain", "1"]) == 0
    assert json.loads((tmp_path / "p" / "run.json").read_text())["abstained"] == 72
    call = ["classify", "evaluate", file, *few, "--models", "logistic,majority", "--folds", "3", "-o", out]
    assert main(call) == 0
    html = (tmp_path / "out" / "report.html").read_text()
    assert "<b>skin" not in html and "&lt;b&gt;skin" in html
    assert not [url for url in Seen(html).values("src") if not url.startswith("data:")]
    judged = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert {row["split"] for row in judged["overall"]} == {"series", "random"}
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert np.allclose(results["value"], pd.read_parquet(tmp_path / "out" / "results.parquet")["value"], rtol=1e-4)
    assert len(results) == 32
    capsys.readouterr()
    assert main(call) == 2
    for more, message in (
        (["--series", "study"], "choose one of: series_id"), (["--split", "dice"], "no split 'dice'"),
        (["--labels", "what"], "give obs:COLUMN"), (["--models", "svm"], "no model 'svm'"),
    ):  # fmt: skip
        assert main(["classify", "evaluate", file, *few, "-o", str(tmp_path / "no"), *more]) == 2
        assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert main(["classify", "evaluate", file, *few, "--series", "none", "-o", str(tmp_path / "r")]) == 0
    assert "the split is random" in capsys.readouterr().err


# -- real samples ---------------------------------------------------------------------------------------------------


def test_types_of_real_donors_are_told_in_other_donors() -> None:
    path = DATA / "batch" / "onek1k_1000g.h5ad"
    if not path.exists():
        pytest.skip("onek1k_1000g.h5ad is not there")
    summed = pseudobulk(open_counts(path))
    counts = open_counts(summed)
    made = evaluate(
        counts, Labels.from_obs(counts, "cell_type"), series_groups(summed.obs, "batch")[0], compare=False, n_boot=50,
        features=Features(n_pcs=50, min_reads=5), models=("logistic", "majority"),
    )  # fmt: skip
    assert made.value("logistic") > 0.97 and made.value("majority") < 0.2  # 1.0 and 0.11 when it was measured
    assert made.by_label.query("model == 'logistic'")["recall_wilson_low"].notna().sum() == 3  # 27 of the rarest
