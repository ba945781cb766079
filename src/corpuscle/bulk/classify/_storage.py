"""A classifier as a folder, and back; files from others are read as data and never run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle import __version__
from corpuscle._folders import new_folder
from corpuscle.bulk._features_files import MOST_BYTES, damaged, load_features, read_json, write_features
from corpuscle.errors import MethodError, OutputError, SourceError

if TYPE_CHECKING:
    from corpuscle.bulk.classify.classifier import SampleClassifier

__all__ = ["TRUSTED", "load_classifier", "save_classifier"]

FORMAT = "corpuscle sample classifier 1"
#: Types that skops does not make unless told to: what each model has of them, and no model anything else. Their links are
#: checked once they are made (``models/_trees.py``).
TRUSTED = {
    "random_forest": ("sklearn.tree._tree.Tree",),
    "boosting": ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
}


def save_classifier(made: SampleClassifier, folder: Path) -> None:
    """Write a folder that is there when it is complete; only a classifier is replaced."""
    from corpuscle.bulk.classify._card import readme

    skops = _skops()

    def check() -> None:
        ours = (folder / "classifier.json").is_file()
        if folder.exists() and not ours and (folder.is_file() or any(folder.iterdir())):
            raise OutputError(f"{folder}: holds something else than a classifier; choose another folder")

    about = {
        "format": FORMAT, "version": __version__, "model": made.model, "labels": list(made.labels_),
        "exclusive": made.exclusive_, "threshold": made.threshold_, "curves": made.calibrator_.to_json(),
        "folds": made.folds, "seed": made.seed, "n_boot": made.n_boot,
    }  # fmt: skip
    with new_folder(folder, check) as growing:
        (growing / "features").mkdir()
        write_features(made.features_, growing / "features")
        skops.dump(made.model_.state(), growing / "model.skops")
        (growing / "classifier.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
        (growing / "card.json").write_text(json.dumps(made.card_, indent=1, default=str), encoding="utf-8")
        (growing / "README.md").write_bytes(readme(made.card_).encode("utf-8", "replace"))


def load_classifier(folder: Path) -> SampleClassifier:
    """Read it back, refusing what does not fit together."""
    from corpuscle.bulk.classify.calibration import Calibrator
    from corpuscle.bulk.classify.classifier import SampleClassifier
    from corpuscle.bulk.classify.models import MODELS

    about = read_json(folder / "classifier.json", FORMAT)
    features = load_features(folder / "features")
    try:
        name, labels = str(about["model"]), tuple(str(label) for label in about["labels"])
        if name not in MODELS or len(set(labels)) != len(labels) or len(labels) < 2:
            raise ValueError("classifier.json names no model, or not its labels")
        made = SampleClassifier(name, features=features, folds=int(about["folds"]), seed=int(about["seed"]),
                                n_boot=int(about["n_boot"]))  # fmt: skip
        made.labels_, made.exclusive_, made.threshold_ = labels, bool(about["exclusive"]), float(about["threshold"])
        made.calibrator_ = Calibrator.from_json(about["curves"], len(labels))
        if not 0 <= made.threshold_ <= 1:
            raise ValueError("its threshold is no probability")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise damaged(folder, error) from None
    n_dims = features.n_dims if MODELS[name].space == "axes" else len(features.genes_)
    state = _state(folder, name)
    try:
        made.model_ = MODELS[name].from_state(state, n_dims, len(labels))
    except Exception as error:  # estimators from a file may lack anything
        raise damaged(folder, f"model.skops: {error}") from None
    made.features_ = features
    made.card_ = _card(folder / "card.json")
    return made


def _state(folder: Path, name: str) -> dict[str, Any]:
    """What ``model.skops`` holds, if all its types are ones that this model has.

    Raises
    ------
    SourceError
        It holds other types, or is damaged.
    """
    skops, path = _skops(), folder / "model.skops"
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > MOST_BYTES:
                raise damaged(folder, "model.skops unpacks to more than it can hold")
        allowed = TRUSTED.get(name, ())
        foreign = sorted(set(skops.get_untrusted_types(file=path)) - set(allowed))
        if foreign:
            shown = " ".join(", ".join(foreign[:3]).split())[:200]
            raise SourceError(
                f"{path}: holds {shown}, which no {name} model has; it was not loaded, and should not be used"
            )
        state = skops.load(path, trusted=list(allowed))
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); give a folder that was saved") from None
    except Exception as error:  # a damaged or hostile file fails in as many ways as there are types
        raise damaged(folder, f"model.skops: {error}") from None
    if type(state) is not dict:
        raise damaged(folder, "model.skops holds no state")
    return state


def _card(path: Path) -> dict[str, Any]:
    """The card; a classifier works without it."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


def _skops() -> Any:
    try:
        import skops.io
    except ModuleNotFoundError:
        raise MethodError("saved classifiers need an extra; run: pip install 'corpuscle[bulk]'") from None
    return skops.io
