"""Samples like a sample: exact neighbours, series left out, precision, folders, the command and its page."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.pages import Seen

from corpuscle import open_counts
from corpuscle.bulk import Features, SampleIndex, grouped_folds, pseudobulk, random_folds, retrieval_precision
from corpuscle.bulk import _nearest as nearest_module
from corpuscle.bulk._nearest import nearest, unit_rows
from corpuscle.cli import main
from corpuscle.errors import OptionError, SourceError

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def replicates(n_series: int = 40, each: int = 3, g: int = 60, seed: int = 0) -> AnnData:
    """Series of noise: samples of one series are copies but for sampling, and labels mean nothing."""
    random = np.random.default_rng(seed)
    level_ng = np.repeat(np.exp(random.normal(5, 0.7, (n_series, g))), each, axis=0)
    n = n_series * each
    obs = pd.DataFrame(
        {"series_id": np.repeat([f"GSE{i}" for i in range(n_series)], each),
         "tissue": np.repeat(random.permutation(["liver", "brain"] * (n_series // 2)), each),
         "title": [f"<b>sample {i}</b>" for i in range(n)]},
        index=[f"GSM{i}" for i in range(n)],
    )  # fmt: skip
    return AnnData(
        sp.csr_matrix(random.poisson(level_ng)), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(g)])
    )


@pytest.fixture(scope="module")
def index() -> SampleIndex:
    made = open_counts(replicates())
    return SampleIndex.build(made, Features(n_pcs=20).fit(made))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    made = replicates()
    made.write_h5ad(tmp_path / "all.h5ad")
    query = replicates()[[4, 9]].copy()
    query.obs_names = ["mine1", "mine2"]
    query.write_h5ad(tmp_path / "query.h5ad")
    return tmp_path / "all.h5ad", tmp_path / "query.h5ad"


# -- neighbours ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("queries", "samples"), [(256, 65_536), (3, 7), (1, 1)])
def test_neighbours_are_those_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch, queries: int, samples: int) -> None:
    monkeypatch.setattr(nearest_module, "QUERIES", queries)
    monkeypatch.setattr(nearest_module, "SAMPLES", samples)
    unit_nd = unit_rows(np.random.default_rng(0).normal(size=(50, 6)))
    group_n = np.arange(50) // 5
    place_qk, cosine_qk = nearest(unit_nd, unit_nd, 4, group_q=group_n, group_n=group_n, self_q=np.arange(50))
    whole = unit_nd @ unit_nd.T
    whole[group_n[:, None] == group_n] = -np.inf
    assert np.array_equal(place_qk, np.argsort(-whole, axis=1, kind="stable")[:, :4])
    assert np.allclose(cosine_qk, -np.sort(-whole, axis=1)[:, :4], atol=1e-6)


def test_where_fewer_are_left_places_are_empty() -> None:
    unit_nd, group_n = np.eye(4, dtype=np.float32), np.array([0, 0, 0, 1])
    place_qk, cosine_qk = nearest(unit_nd[:1], unit_nd, 3, group_q=group_n[:1], group_n=group_n, self_q=np.array([0]))
    assert place_qk.tolist() == [[3, -1, -1]]
    assert cosine_qk[0, 0] == 0 and np.isnan(cosine_qk[0, 1:]).all()


def test_a_vector_of_zeros_is_like_nothing() -> None:
    assert unit_rows(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0, 0], [np.float32(0.6), np.float32(0.8)]]


# -- searching -------------------------------------------------------------------------------------------------


def test_replicates_come_first_only_if_asked_for(index: SampleIndex) -> None:
    same = index.search(["GSM4"], k=2, exclude_series=False)
    assert set(same["sample"]) == {"GSM3", "GSM5"} and list(same["rank"]) == [1, 2]
    other = index.search(["GSM4"], k=5)
    assert "GSE1" not in set(other["series"]) and len(other) == 5
    assert same["similarity"].min() > other["similarity"].max() + 0.3
    assert (np.diff(other["similarity"]) <= 0).all()


def test_samples_of_another_file_go_through_the_same_features(index: SampleIndex) -> None:
    query = replicates()[[4, 9], list(range(59, -1, -1))].copy()
    query.obs_names = ["mine1", "mine2"]
    found = index.search_counts(open_counts(query), k=1)
    assert list(found["sample"]) == ["GSM4", "GSM9"] and found["similarity"].min() > 0.9999
    apart = index.search_counts(open_counts(query), k=3, series="series_id")
    assert "GSE1" not in set(apart.loc[apart["query"] == "mine1", "series"])
    vectors = index.features.transform(open_counts(query))
    assert list(index.search(vectors, k=1)["sample"]) == ["GSM4", "GSM9"]


def test_a_sample_of_the_same_name_is_not_its_own_answer(index: SampleIndex) -> None:
    found = index.search_counts(open_counts(replicates()[[4]].copy()), k=1)
    assert found["sample"].iloc[0] in {"GSM3", "GSM5"}


def test_queries_that_cannot_be_are_refused(index: SampleIndex) -> None:
    with pytest.raises(OptionError, match=r"sample GSM999 is not in the collection of 120 samples"):
        index.search(["GSM1", "GSM999"])
    with pytest.raises(OptionError, match="whole number of 1 or more"):
        index.search(["GSM1"], k=0)
    with pytest.raises(OptionError, match="the index has 20 columns"):
        index.search(np.zeros((1, 3)))
    bare = SampleIndex(index.features, index.unit_nd, index.samples, None, index.about)
    with pytest.raises(OptionError, match="the index has no series"):
        bare.search(["GSM1"])
    assert len(bare.search(["GSM1"], k=3, exclude_series=False)) == 3
    with pytest.raises(OptionError, match="no column 'study'"):
        SampleIndex.build(open_counts(replicates(4)), index.features, series="study")


# -- precision and leakage -------------------------------------------------------------------------------------


def test_precision_of_noise_is_chance_and_replicates_pretend_otherwise() -> None:
    made = replicates(200)
    label, counts = made.obs["tissue"].to_numpy(), open_counts(made)
    index = SampleIndex.build(counts, Features(n_pcs=20).fit(counts))
    assert retrieval_precision(index, label, k=2, exclude_series=False).precision == 1.0
    honest = retrieval_precision(index, label, k=10)
    assert honest.ci_low < honest.chance < honest.ci_high and honest.chance == pytest.approx(297 / 597)
    assert honest.n_series == 200 and honest.n_queries == 600
    assert retrieval_precision(index, label, k=10).ci_low == honest.ci_low


def test_precision_is_the_mean_over_queries(index: SampleIndex) -> None:
    label = replicates().obs["tissue"].to_numpy().astype(object)
    label[:30] = None
    measured = retrieval_precision(index, label, k=4)
    labelled = np.flatnonzero(pd.notna(label))
    hits = []
    for place in labelled:
        cosine = index.unit_nd[labelled] @ index.unit_nd[place]
        cosine[index.groups_n[labelled] == index.groups_n[place]] = -np.inf
        hits.append(np.mean(label[labelled][np.argsort(-cosine, kind="stable")[:4]] == label[place]))
    assert measured.precision == pytest.approx(np.mean(hits))
    assert measured.by_label["n_samples"].sum() == 90


def test_labels_of_one_series_are_not_asked(index: SampleIndex) -> None:
    label = replicates().obs["tissue"].to_numpy().astype(object)
    label[:3] = "spleen"
    assert retrieval_precision(index, label).n_alone == 3
    with pytest.raises(OptionError, match="in another series"):
        retrieval_precision(index, ["a"] * 3 + [""] * 117)
    with pytest.raises(OptionError, match="3 labels for 120 samples"):
        retrieval_precision(index, ["a"] * 3)


def test_a_random_split_of_replicated_noise_looks_perfect_and_a_grouped_one_is_chance() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    made = replicates(60)
    counts, label_n = open_counts(made), (made.obs["tissue"] == "liver").to_numpy()
    groups_n = np.repeat(np.arange(60), 3)

    def accuracy(folds: list) -> float:
        right = []
        for train, test in folds:
            features = Features(n_pcs=10).fit(counts.view(cells=train))
            z_train, z_test = (features.transform(counts.view(cells=part)) for part in (train, test))
            near = KNeighborsClassifier(1, metric="cosine").fit(z_train, label_n[train])
            right.append(near.predict(z_test) == label_n[test])
        return float(np.concatenate(right).mean())

    assert accuracy(random_folds(label_n, 5, 0)) > 0.95
    assert 0.3 < accuracy(grouped_folds(label_n, groups_n, 5, 0)) < 0.7


def test_types_of_real_donors_are_found_in_other_donors() -> None:
    path = DATA / "batch" / "onek1k_1000g.h5ad"
    if not path.exists():
        pytest.skip("onek1k_1000g.h5ad is not there")
    summed = pseudobulk(open_counts(path))
    counts = open_counts(summed)
    made = SampleIndex.build(counts, Features(n_pcs=50, min_reads=5).fit(counts), series="batch")
    measured = retrieval_precision(made, summed.obs["cell_type"].to_numpy())
    assert measured.n_queries == 137 and measured.n_series == 40
    assert measured.precision > 0.95 and measured.chance < 0.3  # 0.996 when it was measured
    assert measured.by_label["precision"].min() > 0.9


# -- folders ---------------------------------------------------------------------------------------------------


def test_a_saved_index_answers_the_same(index: SampleIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "i")
    loaded = SampleIndex.load(tmp_path / "i")
    pd.testing.assert_frame_equal(loaded.search(["GSM1", "GSM50"]), index.search(["GSM1", "GSM50"]))
    stored = dict(np.load(tmp_path / "i" / "index.npz"))
    np.savez(tmp_path / "i" / "index.npz", **{**stored, "samples": stored["samples"][1:]})
    with pytest.raises(SourceError, match="do not fit together"):
        SampleIndex.load(tmp_path / "i")
    with pytest.raises(SourceError, match="cannot be read"):
        SampleIndex.load(tmp_path / "nothing")


def test_an_index_of_a_changed_collection_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with open_counts(files[0]) as counts:
        made = SampleIndex.build(counts, Features(n_pcs=5).fit(counts))
        made.check_collection(counts)
    other = replicates(seed=1)
    other.write_h5ad(files[0])
    with open_counts(files[0]) as counts, pytest.raises(SourceError, match="its files are not those"):
        made.check_collection(counts)
    other[:50].copy().write_h5ad(files[0])
    with open_counts(files[0]) as counts, pytest.raises(SourceError, match="its samples are not those"):
        made.check_collection(counts)


# -- the command -----------------------------------------------------------------------------------------------


def test_the_command_writes_a_table_and_a_page_that_escapes_names(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collection, _ = files
    call = ["similar", str(collection), "--sample", "GSM4", "-k", "3", "--labels", "obs:tissue", "--precision"]
    out = tmp_path / "out"
    assert main([*call, "--index", str(tmp_path / "ix"), "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    table = pd.read_csv(out / "results.csv")
    assert list(table) == ["query", "rank", "sample", "similarity", "series", "label", "title"]
    assert [row["sample"] for row in said["found"]] == list(table["sample"]) and "GSE1" not in set(table["series"])
    assert said["precision"]["n_queries"] == 120
    html = (out / "report.html").read_text()
    assert "<b>sample" not in html and "&lt;b&gt;sample" in html
    assert not [url for url in Seen(html).values("src") if not url.startswith("data:")]
    run = json.loads((out / "run.json").read_text())
    assert run["k"] == 3 and len(run["sources"][0]["sha256"]) == 64 and len(pd.read_csv(out / "precision.csv")) == 2
    assert main([*call, "-o", str(out)]) == 2
    assert "already" in capsys.readouterr().err
    assert main([*call, "--index", str(tmp_path / "ix")]) == 0
    assert "GSM" in capsys.readouterr().out
    assert main([*call, "--index", str(tmp_path / "ix"), "--n-pcs", "7"]) == 2
    assert "was made with n_pcs 200, not 7" in capsys.readouterr().err


def test_the_command_asks_for_samples_of_another_file(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["similar", *map(str, (files[0], "--query", files[1], "-k", 1, "--json"))]
    assert main([*call, "--include-same-series"]) == 0
    assert [row["sample"] for row in json.loads(capsys.readouterr().out)["found"]] == ["GSM4", "GSM9"]
    assert main(call) == 0
    found = json.loads(capsys.readouterr().out)["found"]
    assert {row["query"] for row in found} == {"mine1", "mine2"}
    assert all(row["series"] != {"mine1": "GSE1", "mine2": "GSE3"}[row["query"]] for row in found)


@pytest.mark.parametrize(
    ("more", "message"),
    [([], "--sample NAME"), (["--sample", "no"], "sample no is not in the collection"),
     (["--sample", "GSM1", "--series", "study"], "--series 'study' is no column of obs"),
     (["--sample", "GSM1", "--labels", "what"], "give obs:COLUMN"), (["--sample", "GSM1", "--precision"], "needs --labels")],
)  # fmt: skip
def test_mistakes_are_one_line(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(["similar", str(files[0]), *more]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
