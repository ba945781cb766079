"""The clustering benchmark as a user meets it: rows for everything, nothing lost, nothing done twice, no label leaked."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from fake_clustering import Bad, Good, Labels, Spoiler, Spy, made_cells, made_result
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.benchmarks import clustering
from corpuscle.benchmarks._method_words import split_methods
from corpuscle.benchmarks._paired import bootstrap_interval, holm, sign_flip
from corpuscle.benchmarks._parts import Key, Parts, pack_frame, pack_labels, unpack_frame, unpack_labels
from corpuscle.benchmarks.clustering._entrants import default_methods
from corpuscle.benchmarks.clustering.compare import paired
from corpuscle.errors import OptionError, OutputError, SourceError
from corpuscle.report import COLUMNS, Result


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    paths = [folder / "one.h5ad", folder / "two.h5ad"]
    for seed, path in enumerate(paths):
        made_cells(seed=seed).write_h5ad(path)
    return paths


def calls(log):
    return log.read_text().splitlines() if log.exists() else []


def csv(result, folder):
    return (result.save(folder) / "results.csv").read_bytes()


bench = partial(clustering.benchmark, seeds=2)


@pytest.fixture(scope="module")
def result(files) -> Result:
    return bench(files, [Good(), Labels("own_labels"), Bad("raises")])


# -- rows --------------------------------------------------------------------------------------------------------


def test_every_run_and_protocol_is_a_row_that_says_what_it_was_told(result):
    assert list(result.table) == COLUMNS
    rows = result.details[result.details["status"] == "ok"]
    told = set(rows[["method", "protocol", "told"]].itertuples(index=False, name=None))
    assert told == {
        ("good", "fixed", "nothing"),
        ("good", "matched", "n_types"),
        ("good", "kmeans", "n_types"),
        ("good", "oracle", "labels"),
        ("own_labels", "own", "n_types"),
    }
    assert len(rows) == 2 * 2 * 5
    assert (rows["n"] == 48).all() and (rows["n_types"] == 3).all()
    assert rows.query("protocol in ['kmeans', 'own']")["ari"].to_numpy() == pytest.approx(1.0)


def test_the_tidy_table_holds_each_seed_and_the_mean_over_data_sets(result):
    ari = result.table.query("metric == 'ari' and task == 'fixed' and method == 'good'")
    per_set = ari[ari["dataset"] != "all"]
    assert sorted(zip(per_set["dataset"], per_set["seed"], strict=True)) == [
        ("one", 0), ("one", 1), ("two", 0), ("two", 1),
    ]  # fmt: skip
    overall = ari[ari["dataset"] == "all"].iloc[0]
    assert overall["value"] == pytest.approx(per_set["value"].mean())
    assert overall["n"] == 2 and overall["ci_low"] <= overall["value"] <= overall["ci_high"]


def test_a_failure_is_a_row_with_its_reason_and_the_method_stays_on_the_board(result):
    failed = result.failures
    assert list(failed["method"]) == ["raises"] * 4
    assert set(failed["stage"]) == {"method, seed 0", "method, seed 1"}
    assert set(failed["reason"]) == {"ValueError: no luck"}
    last = result.leaderboard().iloc[-1]
    assert last["method"] == "raises" and last["failed_fraction"] == 1 and np.isnan(last["ari"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("exits", "SystemExit: enough"),
        ("nothing", "NoneType"),
        ("neither", "neither"),
        ("nan", "NaN"),
        ("short", "shape"),
        ("constant", "same for all"),
    ],
)
def test_whatever_a_method_does_wrong_the_next_one_still_runs(name, words):
    found = bench([made_cells()], [Bad(name), Labels("next")], seeds=1)
    assert words in found.failures["reason"].iloc[0]
    assert set(found.details.query("status == 'ok'")["method"]) == {"next"}


def test_a_source_that_cannot_be_used_stops_only_itself(files, tmp_path):
    unlabelled = tmp_path / "unlabelled.h5ad"
    cells = made_cells()
    del cells.obs["cell_type"]
    cells.write_h5ad(unlabelled)
    broken = tmp_path / "broken.h5ad"
    broken.write_bytes(files[0].read_bytes()[:3000])
    found = bench([tmp_path / "none.h5ad", unlabelled, broken, files[0]], [Labels()], seeds=1)
    assert len(found.failures) == 3 and set(found.failures["stage"]) == {"open"}
    assert set(found.details["dataset"]) == {"one"}


def test_stability_is_the_agreement_between_seeds():
    found = made_result({"m": [{"fixed": 0.5}]}, seeds=(0, 1, 2))
    row = found.table.query("metric == 'stability' and dataset == 'set0'").iloc[0]
    assert row["value"] == pytest.approx(1.0), "swapped names of two clusters are the same clustering"
    assert row["n"] == 3
    alone = made_result({"m": [{"fixed": 0.5}]}, seeds=(0,))
    assert np.isnan(alone.extras["stability"]["stability"].iloc[0]), "one seed has no stability; it is not 0 or 1"


def test_names_are_unique_and_never_that_of_the_means(tmp_path):
    paths = []
    for name in ("a/same.h5ad", "b/same.h5ad", "all.h5ad"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        made_cells().write_h5ad(path)
        paths.append(path)
    found = bench(paths, [Labels()], seeds=1)
    assert sorted(found.details["dataset"].unique()) == ["all#2", "same", "same#2"]


# -- what a method may see ---------------------------------------------------------------------------------------


def reachable(value, depth=4):
    """Every text that an object holds, itself and inside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, np.ndarray):
        yield from map(str, value.ravel())
    elif depth and isinstance(value, list | tuple | set):
        for item in value:
            yield from reachable(item, depth - 1)
    elif depth and isinstance(value, dict | pd.DataFrame):
        for key in value:
            yield from reachable([key, np.asarray(value[key])], depth - 1)
    elif depth and hasattr(value, "__dict__"):
        yield from reachable(vars(value), depth - 1)


@pytest.mark.parametrize(("told", "given"), [("nothing", None), ("n_types", 3)])
def test_labels_are_out_of_reach_and_the_number_of_types_only_for_those_told(files, told, given):
    spy = Spy(told)
    bench(files[:1], [spy], seeds=[4, 2])
    assert [(seed, n_types) for _, seed, n_types in spy._seen] == [(4, given), (2, given)]
    texts = set(reachable(spy._seen[0][0]))
    assert "g0" in texts and "one" in texts
    assert not [text for text in texts if "secret" in text or "cell_type" in text]


def test_a_method_that_is_told_more_is_in_another_block_though_the_protocol_is_the_same(files):
    spy = Spy("n_types")
    board = bench(files[:1], [Good(), spy], seeds=1).leaderboard()
    assert set(board.query("method == 'spy'")["told"]) == {"n_types", "labels"}
    fixed = board[board["protocol"] == "fixed"]
    assert list(zip(fixed["told"], fixed["method"], strict=True)) == [("nothing", "good"), ("n_types", "spy")]


def test_a_method_that_changes_its_input_spoils_no_other(files):
    spy = Spy()
    bench(files[:1], [Spoiler("spoiler"), spy], seeds=1)
    counts = spy._seen[0][0].counts_ng
    assert (counts != made_cells(seed=0).X).nnz == 0
    assert len(spy._seen[0][0].genes) == 12


# -- going on where it was ---------------------------------------------------------------------------------------


def test_a_second_call_runs_nothing_and_gives_the_same_bytes(files, tmp_path):
    log = tmp_path / "log"
    methods = [Good(log=str(log)), Labels("own", log=str(log))]
    first = csv(bench(files[:1], methods, out=tmp_path), tmp_path)
    assert len(calls(log)) == 4
    again = bench(files[:1], methods, out=tmp_path)
    assert csv(again, tmp_path) == first
    assert len(calls(log)) == 4
    assert csv(bench(files[:1], [Good(), Labels("own")]), tmp_path / "fresh") == first
    assert again.extras["stability"]["n_seeds"].eq(2).all()


def test_only_what_is_missing_is_done_after_an_interruption(files, tmp_path):
    log = tmp_path / "log"

    class Interrupted(Labels):
        def __call__(self, cells, *, seed, n_types):
            if len(calls(log)) == 3:
                raise KeyboardInterrupt
            return super().__call__(cells, seed=seed, n_types=n_types)

    with pytest.raises(KeyboardInterrupt):
        bench(files, [Interrupted(log=str(log))], out=tmp_path)
    assert len(list((tmp_path / "parts").iterdir())) == 3
    log.write_text("")
    log.unlink()
    done = bench(files, [Interrupted(log=str(log))], out=tmp_path)
    assert calls(log) == ["two good 1"]
    assert csv(done, tmp_path) == csv(bench(files, [Labels()]), tmp_path / "fresh")


def test_a_damaged_part_is_done_again_and_one_of_another_run_is_left_alone(files, tmp_path):
    log = tmp_path / "log"
    first = csv(bench(files[:1], [Labels(log=str(log))], out=tmp_path, seeds=3), tmp_path)
    cut, changed, _ = sorted((tmp_path / "parts").iterdir())
    cut.write_text(cut.read_text()[:200])
    changed.write_text(changed.read_text().replace('"n_types":3', '"n_types":4'))
    assert csv(bench(files[:1], [Labels(log=str(log))], out=tmp_path, seeds=3), tmp_path) == first
    assert calls(log)[3:] == calls(log)[:2]
    before = {path: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    bench(files[:1], [Labels(log=str(log), noise=0.5)], out=tmp_path, seeds=3)
    assert len(calls(log)) == 8, "another parameter is another run"
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(list((tmp_path / "parts").iterdir())) == 6


def test_other_data_labels_or_versions_are_another_run(files, tmp_path, monkeypatch):
    log = tmp_path / "log"
    cells = made_cells(seed=0)
    cells.obs["other"] = cells.obs["cell_type"].to_numpy()[::-1].copy()
    path = tmp_path / "one.h5ad"
    cells.write_h5ad(path)
    bench([path], [Labels(log=str(log))], out=tmp_path, seeds=1)
    bench([path], [Labels(log=str(log))], out=tmp_path, seeds=1, labels="other")
    cells.X[0, 0] += 1
    cells.write_h5ad(path)
    bench([path], [Labels(log=str(log))], out=tmp_path, seeds=1)
    monkeypatch.setattr("corpuscle.benchmarks.clustering.run.engine_versions", lambda: {"scanpy": "0"})
    bench([path], [Labels(log=str(log))], out=tmp_path, seeds=1)
    assert len(calls(log)) == 4


def test_a_failed_run_is_tried_again_next_time(files, tmp_path):
    log = tmp_path / "log"
    for _ in range(2):
        bench(files[:1], [Bad("raises", log=str(log))], out=tmp_path, seeds=1)
    assert len(calls(log)) == 2


def test_an_object_in_memory_is_known_again_by_what_it_holds(tmp_path):
    log = tmp_path / "log"
    for seed in (0, 0, 1):
        bench([made_cells(seed=seed)], [Labels(log=str(log))], out=tmp_path, seeds=1)
    assert len(calls(log)) == 2


# -- side by side ------------------------------------------------------------------------------------------------


def test_a_process_that_dies_costs_its_own_run_only_and_the_others_are_as_ever(files, tmp_path):
    log = tmp_path / "log"
    others = [Labels(), Bad("dies_once", log=str(log))]
    found = bench(files[:1], [Bad("dies", log=str(log)), *others], seeds=1, jobs=2, out=tmp_path)
    assert list(found.failures["method"]) == ["dies"]
    assert "exit code 7" in found.failures["reason"].iloc[0]
    assert calls(log).count("one dies 0") == 2, "it is tried once more"
    assert len(list((tmp_path / "parts").iterdir())) == 2
    one_by_one = bench(files[:1], others, seeds=1)
    assert csv(found, tmp_path / "two") == csv(one_by_one, tmp_path / "one")


def test_a_method_that_cannot_be_sent_says_so(files):
    spy = Labels("lambda")
    spy._keep = lambda: None
    found = bench(files[:1], [spy], seeds=1, jobs=2)
    assert "use jobs=1" in found.failures["reason"].iloc[0]


# -- what is refused before any work -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "options", "words"),
    [
        ([Good(), Good()], {}, "given twice"),
        (["pca_laiden"], {}, "pca_laiden"),
        ([object()], {}, "no method"),
        ([Good("")], {}, "no method"),
        ([], {}, "no method was given"),
        ([Good()], {"seeds": 0}, "no seed"),
        ([Good()], {"seeds": [1, 1]}, "different"),
        ([Good()], {"algorithm": "walktrap"}, "walktrap"),
        ([Good()], {"jobs": 0}, "jobs"),
    ],
)
def test_a_wrong_option_is_refused(files, methods, options, words):
    with pytest.raises(OptionError, match=words):
        bench(files, methods, **options)


def test_a_method_told_the_labels_is_refused(files):
    with pytest.raises(OptionError, match="told is 'labels'"):
        bench(files, [Spy("labels")])


def test_no_source_is_refused():
    with pytest.raises(SourceError, match="no source"):
        bench([], [Good()])


def test_parts_that_cannot_be_written_stop_the_run(files, tmp_path):
    (tmp_path / "parts").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        bench(files[:1], [Labels()], seeds=1, out=tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pca_leiden,scvi", ["pca_leiden", "scvi"]),
        ("scvi:max_epochs=100,n_latent=20,sce2tm", ["scvi:max_epochs=100,n_latent=20", "sce2tm"]),
        ("a:x=1,b:y=2,z=3", ["a:x=1", "b:y=2,z=3"]),
        ("my.module:Class, pca_leiden,", ["my.module:Class", "pca_leiden"]),
        ("my.module:Class:k=1,path=a:b", ["my.module:Class:k=1,path=a:b"]),
    ],
)
def test_commas_part_methods_and_their_parameters(text, words):
    assert split_methods(text) == words


def test_defaults_begin_with_both_baselines():
    assert default_methods()[:2] == ["pca_leiden", "pca_kmeans"]


# -- comparisons -------------------------------------------------------------------------------------------------


def compared(n_sets, better=0.1, **rest):
    scores = {
        "pca_leiden": [{"fixed": 0.5, "oracle": 0.9, "matched": 0.2}] * n_sets,
        "new": [{"fixed": 0.5 + better, "oracle": 0.9, "matched": 0.1}] * n_sets,
    }
    found = made_result(scores | rest)
    return found.extras["comparisons"].query("metric == 'ari'").set_index(["protocol", "method"])


def test_six_data_sets_can_be_tested_exactly():
    row = compared(6).loc["fixed", "new"]
    assert row["difference"] == pytest.approx(0.1)
    assert row["p"] == row["p_holm"] == pytest.approx(2 / 64)
    assert (row["n_better"], row["n_sets"], row["note"]) == (6, 6, "")
    assert row["ci_low"] == pytest.approx(0.1)


def test_five_are_not_testable_and_no_p_is_printed():
    row = compared(5).loc["fixed", "new"]
    assert np.isnan(row["p"]) and np.isnan(row["p_holm"])
    assert row["note"] == "not testable: 5 data sets"


def test_the_baseline_was_told_the_same_and_is_the_better_one():
    scores = {
        "pca_leiden": [{"fixed": 0.5, "matched": 0.3}] * 2,
        "pca_leiden:n_pcs=20": [{"fixed": 0.55, "matched": 0.1}] * 2,
        "pca_kmeans": [{"own": 0.7}] * 2,
        "new": [{"fixed": 0.6, "matched": 0.6}] * 2,
        "labels_only": [{"own": 0.65}] * 2,
    }
    found = made_result(scores, told={"pca_kmeans": "n_types", "labels_only": "n_types"})
    table = found.extras["comparisons"].query("metric == 'ari'").set_index(["told", "protocol", "method"])
    fixed = table.loc["nothing", "fixed", "new"]
    assert fixed["baseline"] == "pca_leiden:n_pcs=20" and fixed["difference"] == pytest.approx(0.05)
    assert table.loc["n_types", "matched", "new"]["baseline"] == "pca_leiden"
    own = table.loc["n_types", "own", "labels_only"]
    assert own["baseline"] == "pca_kmeans" and own["difference"] == pytest.approx(-0.05)
    assert not [method for *_, method in table.index if method.startswith("pca_")]


def test_pairs_are_of_data_sets_that_both_did():
    scores = {"pca_leiden": [{"fixed": 0.5}, "broke", {"fixed": 0.1}], "new": [{"fixed": 0.6}, {"fixed": 0.9}, "broke"]}
    pairs = paired(made_result(scores).details).query("metric == 'ari'")
    assert list(pairs["dataset"]) == ["set0"]


def test_without_a_baseline_nothing_is_compared():
    assert "comparisons" not in made_result({"new": [{"fixed": 0.5}]}).extras


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=10))
@settings(deadline=None, max_examples=30)
def test_sign_flip_p_is_a_share_of_all_signs(differences):
    rng = np.random.default_rng(0)
    value_s = np.array(differences)
    p = sign_flip(value_s, rng)
    assert p >= 2 / 2**value_s.size - 1e-12 and (p * 2**value_s.size) == pytest.approx(round(p * 2**value_s.size))
    assert sign_flip(-value_s, rng) == pytest.approx(p)


def test_holm_by_hand_and_with_what_was_not_tested():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    adjusted = holm([0.01, float("nan"), 0.04])
    assert adjusted[0] == pytest.approx(0.02) and adjusted[2] == pytest.approx(0.04) and np.isnan(adjusted[1])


def test_one_unit_has_no_interval():
    assert all(np.isnan(end) for end in bootstrap_interval(np.array([0.5]), np.random.default_rng(0)))


# -- parts -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 400), min_size=1, max_size=50))
@settings(deadline=None, max_examples=30)
def test_kept_clusters_are_the_same_partition(labels):
    found = unpack_labels(pack_labels(np.array(labels)))
    assert len(set(zip(labels, found, strict=True))) == len(set(labels)) == len(set(found))


def test_tables_come_back_with_their_types_and_undefined_numbers():
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": [1, 2], "c": ["x", None], "d": [True, False]})
    back = unpack_frame(json.loads(json.dumps(Parts(None).write(Key(("k",), {}), pack_frame(frame)))))
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)
    assert [column.dtype.kind for _, column in back.items()] == ["f", "i", "O", "b"]


def test_a_part_name_is_safe_whatever_the_names(tmp_path):
    key = Key(("../../etc/passwd", "a b\0<c>", "…" * 300), {"x": 1})
    assert "/" not in key.file and "\0" not in key.file and len(key.file) < 200
    parts = Parts(tmp_path / "parts")
    parts.write(key, {"a": 1.0})
    assert parts.read(key) == {"a": 1.0}
    assert parts.read(Key(key.name, {"x": 2})) is None
