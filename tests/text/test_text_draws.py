"""Draws: what trains, what is judged, and what a method can and cannot see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from text_cells import TYPES, data_set, pbmc, small_pbmc

from corpuscle.benchmarks.text._draw_questions import judged_types
from corpuscle.benchmarks.text._draw_split import Impossible
from corpuscle.benchmarks.text._draws import draws, plans
from corpuscle.benchmarks.text.options import Options
from corpuscle.errors import CorpuscleError, OptionError

#: Cheap vectors that are fitted all the same.
QUICK = {"embeddings": ("pca:n_components=8,n_genes=200",)}
FOUR = ("CD14+ Monocyte", "CD19+ B", "CD56+ NK", "Dendritic")


@pytest.fixture(scope="module")
def cells():
    return small_pbmc()


def one(source, setup, seed=0, fold=0, others=(), **options):
    """The plan of one draw."""
    found = plans(data_set(source), Options(**{**QUICK, **options, "setups": (setup,)}), seed, others)
    return next(plan for plan in found if plan.fold == fold)


def label_by_counts(source):
    """Type of each cell, found by its counts alone: how a cell is known again whatever its name."""
    return {row.tobytes(): label for row, label in zip(source.X.toarray(), source.obs["cell_type"], strict=True)}


def values(adata):
    return [row.tobytes() for row in adata.X.toarray().astype(np.float32)]


def test_rows_counts_vectors_and_truth_are_of_the_same_cells_in_the_same_order(cells):
    label_of = label_by_counts(cells)
    with one(cells, "new_cells").open() as draw:
        shown = draw.shown
        assert [label_of[row] for row in values(shown.counts("test"))] == list(draw.test_types)
        assert [label_of[row] for row in values(shown.counts("train"))] == list(shown.train_types)
        assert [shown.caption_of[name] for name in shown.train_types] == list(shown.captions)
        assert shown.caption_of["CD19+ B"] == "This is a CD19+ B cell."
        for part, n in (("train", len(shown.captions)), ("test", len(draw.test_types))):
            counts, vectors_nd = shown.counts(part), shown.vectors("pca", part)
            assert list(counts.obs_names) == shown.ids(part) and vectors_nd.shape == (n, 8)
            store = shown.store("X_pca")
            np.testing.assert_array_equal(vectors_nd[n // 2], store[shown.ids(part)[n // 2]])
            best = str(counts.var_names[counts.X[0].toarray().argmax()])
            assert best in shown.sentences(part)[0].split()
        assert not set(shown.ids("train")) & set(shown.ids("test"))
        with pytest.raises(OptionError, match="train and test"):
            shown.ids("validation")


def test_nothing_that_is_shown_of_the_test_cells_tells_their_type(cells):
    with one(cells, "new_cells").open() as draw:
        shown = draw.shown
        assert not {"positive", "caption", "caption_source", "label"} & set(shown.rows["test"].column_names)
        assert list(shown.counts("test").obs.columns) == []
        texts = shown.rows["test"].to_pandas().astype(str).to_numpy().ravel().tolist()
        folder = shown._folder / "test.pairs"
        texts += [path.read_text() for path in folder.rglob("*.json")] + [(folder / "README.md").read_text()]
        assert not [text for text in texts for name in FOUR if name in text]
        archives = list((folder / "archives").iterdir())
        assert archives and not [path for path in archives for name in FOUR if name.encode() in path.read_bytes()]
        # The same search finds the labels where they are shown.
        assert any(b"CD19+ B" in path.read_bytes() for path in (shown._folder / "train.pairs" / "archives").iterdir())


def test_place_in_the_file_tells_nothing_of_the_type(cells):
    by_type = cells[np.argsort(cells.obs["cell_type"], kind="stable")].copy()
    with one(by_type, "new_cells").open() as draw:
        runs = sum(a != b for a, b in zip(draw.test_types, draw.test_types[1:], strict=False))
        assert runs > 2 * len(FOUR)


def test_new_cells_are_a_fifth_of_each_type(cells):
    with one(cells, "new_cells").open() as draw:
        assert draw.types == FOUR and draw.left_out == ()
        assert pd.Series(draw.test_types).value_counts().to_dict() == dict.fromkeys(FOUR, 6)
        assert pd.Series(draw.shown.train_types).value_counts().to_dict() == dict.fromkeys(FOUR, 24)
        tasks = [question.task for question in draw.questions]
        assert tasks == ["new_cells", *(f"new_wording: {words}" for words in Options().wordings)]
        assert draw.questions[0].texts == tuple(draw.shown.caption_of[name] for name in FOUR)
        assert draw.questions[1].texts == FOUR
        captions = set(draw.shown.captions)
        assert not [text for question in draw.questions[1:] for text in question.texts if text in captions]


def test_the_same_seed_gives_the_same_draw_and_another_seed_another(cells):
    seen = []
    for seed in (0, 0, 1):
        with one(cells, "new_cells", seed).open() as draw:
            shown = draw.shown
            rows = {part: shown.rows[part].to_pandas() for part in ("train", "test")}
            seen.append((rows, shown.vectors("pca", "test"), draw.test_types, values(shown.counts("test"))))
    for part in ("train", "test"):
        pd.testing.assert_frame_equal(seen[0][0][part], seen[1][0][part])
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert seen[0][2:] == seen[1][2:] and set(seen[0][3]) != set(seen[2][3])


def test_no_group_is_on_both_sides():
    cells = pbmc()
    donor_of = {row.tobytes(): donor for row, donor in zip(cells.X.toarray(), cells.obs["donor"], strict=True)}
    for seed in (0, 1):
        with one(cells, "held_out_groups", seed, group="donor").open() as draw:
            train, test = ({donor_of[row] for row in values(draw.shown.counts(part))} for part in ("train", "test"))
            assert train and test and not train & test and train | test == set(donor_of.values())


def test_cells_without_a_group_are_on_no_side(cells):
    known = cells.copy()
    known.obs["donor"] = known.obs["donor"].where(np.arange(known.n_obs) % 3 != 0)
    with one(known, "held_out_groups", group="donor").open() as draw:
        assert len(draw.test_types) + len(draw.shown.captions) == int(known.obs["donor"].notna().sum())
        assert any("40 cells have no donor" in note for note in draw.notes)


def test_a_type_that_only_held_out_groups_have_is_not_judged_there():
    tasks, notes = judged_types("held_out_groups", {"B", "NK"}, {"B", "T"}, {})
    assert tasks == {"held_out_groups": ("B",)} and "NK" in notes[0]
    with pytest.raises(Impossible, match="two or more"):
        judged_types("held_out_groups", {"B", "NK"}, {"B"}, {})
    with pytest.raises(Impossible, match="no type in common"):
        judged_types("held_out_groups", {"NK"}, {"B", "T"}, {})


def test_a_left_out_type_has_no_training_cell_and_its_own_cells_are_judged(cells):
    found = plans(data_set(cells), Options(**QUICK, setups=("new_types",), folds=3), 0)
    left = []
    for plan in found:
        with plan.open() as draw:
            assert draw.left_out and not set(draw.left_out) & set(draw.shown.train_types)
            assert not set(draw.left_out) & set(draw.shown.caption_of)
            (question,) = draw.questions
            assert question.task == "new_types" and question.judged == draw.left_out and draw.types == FOUR
            assert set(draw.test_types) == set(FOUR) and None not in question.texts
            left += draw.left_out
    assert sorted(left) == sorted(FOUR) and [plan.fold for plan in found] == [0, 1, 2]


def test_changing_the_cells_of_a_left_out_type_changes_no_training_vector(cells):
    seen = []
    for factor in (1, 7):
        changed = cells.copy()
        with one(cells, "new_types").open() as draw:
            away = np.isin(cells.obs["cell_type"].to_numpy(str), draw.left_out)
        changed.X = changed.X.multiply(np.where(away, factor, 1)[:, None]).tocsr()
        with one(changed, "new_types").open() as draw:
            seen.append((draw.shown.vectors("pca", "train"), draw.shown.vectors("pca", "test"), draw.test_types))
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    same = ~np.isin(seen[0][2], draw.left_out)
    np.testing.assert_array_equal(seen[0][1][same], seen[1][1][same])


def test_a_whole_study_is_judged_by_what_others_taught(cells):
    other = small_pbmc("CD14+ Monocyte", "CD19+ B", "CD34+")
    with one(cells, "other_study", others=[data_set(other)]).open() as draw, one(cells, "new_cells").open() as own:
        label_of = label_by_counts(other)
        assert {label_of[row] for row in values(draw.shown.counts("train"))} == set(draw.shown.train_types)
        assert set(draw.shown.train_types) == {"CD14+ Monocyte", "CD19+ B", "CD34+"}
        judged = {question.task: question.judged for question in draw.questions}
        assert judged["other_study"] == ("CD14+ Monocyte", "CD19+ B")
        assert judged["other_study_new_types"] == ("CD56+ NK", "Dendritic") == draw.left_out
        assert draw.types == (*FOUR[:2], "CD34+", *FOUR[2:])
        # The judged cells are those of new_cells.
        assert sorted(values(draw.shown.counts("test"))) == sorted(values(own.shown.counts("test")))


def test_a_type_that_another_study_calls_otherwise_is_no_new_type(cells):
    other = cells.copy()
    names = {
        "CD14+ Monocyte": "CD14-positive monocyte",
        "CD56+ NK": "NK cell",
        "CD19+ B": "B cell",
        "Dendritic": "odd one",
    }
    other.obs["cell_type"] = other.obs["cell_type"].map(names)
    with one(cells, "other_study", others=[data_set(other)]).open() as draw:
        judged = {question.task: question.judged for question in draw.questions}
        known = [name for names in judged.values() for name in names]
        assert "CD14+ Monocyte" in judged["other_study"] and "CD14-positive monocyte" not in draw.types
        assert judged["other_study_new_types"] == ("Dendritic",)
        # Narrower than what training calls B cell, or the same: at any rate not new.
        assert "CD19+ B" not in judged["other_study_new_types"] and len(known) == len(set(known))
        assert any("CD14-positive monocyte as CD14+ Monocyte" in note for note in draw.notes)


def test_studies_that_share_no_gene_are_an_error_and_no_half_draw(cells):
    other = cells.copy()
    other.var_names = [f"odd{k}" for k in range(other.n_vars)]
    plan = one(cells, "other_study", others=[data_set(other), data_set(cells)])
    with pytest.raises(CorpuscleError, match="no gene in common"), plan.open():
        pass


def test_what_a_data_set_cannot_do_is_a_note(cells):
    notes: list[str] = []
    few = small_pbmc("CD19+ B", "CD56+ NK")
    found = [draw.setup for draw in draws(data_set(few), Options(**QUICK, group="donors"), 0, notes=notes)]
    assert found == ["new_cells"]
    told = "\n".join(notes)
    assert "no obs column 'donors'" in told and "no other data set" in told and "fewer than two to train on" in told
    strange = few.copy()
    strange.obs["cell_type"] = "Sertoli cell"
    strange.obs.iloc[:20, 0] = "odd one"
    notes.clear()
    options = Options(**QUICK, setups=("other_study",))
    assert [draw.left_out for draw in draws(data_set(few), options, 0, [data_set(strange)], notes)] == [
        ("CD19+ B", "CD56+ NK")
    ]
    # Only an opened draw knows that a study taught a single type.
    strange.obs["cell_type"] = np.where(np.arange(strange.n_obs) % 2, "NK cell", "natural killer cell")
    assert not list(draws(data_set(few), options, 0, [data_set(strange)], notes)) and "two or more" in notes[-1]


def test_rare_types_are_left_out_and_one_type_is_too_few(cells):
    rare = cells.copy()
    label_n = rare.obs["cell_type"].to_numpy(object)
    label_n[0] = "a rare one"
    rare.obs["cell_type"] = label_n
    notes: list[str] = []
    plans(data_set(rare), Options(**QUICK), 0, notes=notes)
    assert any("a rare one have fewer than 2 cells" in note for note in notes)
    rare.obs["cell_type"] = np.where(np.arange(rare.n_obs) == 0, "a rare one", "B")
    with pytest.raises(OptionError, match="two or more such types"):
        plans(data_set(rare), Options(**QUICK), 0)


def test_a_large_data_set_is_drawn_down_type_by_type():
    cells = pbmc()
    drawn = []
    for seed in (0, 1):
        with one(cells, "new_cells", seed, max_cells=100).open() as draw:
            size = pd.Series([*draw.test_types, *draw.shown.train_types]).value_counts()
            drawn.append(set(values(draw.shown.counts("train"))))
        assert size.sum() == 100 and set(size.index) == set(TYPES)
        ideal = cells.obs["cell_type"].value_counts() / 7
        assert (size - ideal.reindex(size.index)).abs().max() <= 2
    assert drawn[0] != drawn[1]


def test_nothing_is_left_behind(cells, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with one(cells, "new_cells").open():
        assert list(tmp_path.iterdir())
    with pytest.raises(RuntimeError), one(cells, "new_cells").open():
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_options_are_plain_and_checked():
    assert json.loads(json.dumps(Options().to_dict()))["folds"] == 4
    assert Options(embeddings=("pca", "hvg:n=512,name=genes")).keys == ("X_pca", "X_genes")
    for wrong, said in (
        ({"setups": ("donors",)}, "no setup is called"), ({"setups": ()}, "no setup"), ({"share": 1.0}, "share"),
        ({"folds": 1}, "folds"), ({"max_cells": 3}, "max_cells"), ({"seeds": ()}, "no seed"), ({"seeds": (1, 1)}, "different"),
        ({"caption": "A {cell_type} cell."}, "label"), ({"caption": "A cell."}, "no column"),
        ({"wordings": ("{organ}",)}, "organ"), ({"wordings": ("{label}", "{label}")}, "twice"),
        ({"wordings": ("This is a {label} cell.",)}, "no new one"), ({"embeddings": ("pca", "pca")}, "twice"),
        ({"embeddings": ()}, "no embedding"), ({"embeddings": ("umap",)}, "umap"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=said):
            Options(**wrong)


def test_real_studies_of_different_genes_and_names(real_folder):
    from corpuscle.benchmarks._labelled import data_sets

    paths = [real_folder / f"{name}.h5ad" for name in ("clustering/zheng_facs_3774", "perturbation/kang_ifnb_2800")]
    zheng, kang = data_sets(paths, "cell_type")
    options = Options(setups=("other_study",), max_cells=400, embeddings=("pca:n_components=8,n_genes=200",))
    (draw,) = draws(kang, options, 0, [zheng])
    judged = {question.task: question.judged for question in draw.questions}
    assert "CD14 Mono" in judged["other_study"] and "Mk" in judged["other_study_new_types"]
    assert not set(judged["other_study"]) & set(judged["other_study_new_types"])


@pytest.fixture
def real_folder():
    import os

    folder = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "perturbation" / "kang_ifnb_2800.h5ad").exists():
        pytest.skip("the real data sets are not here; CORPUSCLE_DATA names their folder")
    return folder
