"""What takes part in the benchmark of rare labels: anything that adds training samples of a label, or weight.

An arm is a callable with a few attributes::

    class Mine:
        name = "mine"
        told = "samples of the label"    # in a few words, what it uses of the training samples
        kind = "synthetic"               # or "weights", which adds none

        def __call__(self, given: Given) -> Augmented: ...

It sees training samples only. A package adds its own by an entry point of the group ``corpuscle.rare_label_arms``; on the
command line, ``module:Class`` names one that is not installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corpuscle._plugins import Plugins
from corpuscle.benchmarks._entrant import Entrant, entrant
from corpuscle.benchmarks._method_words import each_once, made, read_method
from corpuscle.benchmarks.rare_labels._arms import Arm, Augmented, Given, Synthesis, checked_augmented
from corpuscle.errors import OptionError

__all__ = [
    "ALWAYS",
    "CHEAP",
    "ENTRY_POINT_GROUP",
    "LEARNED",
    "NULLS",
    "Arm",
    "Augmented",
    "Given",
    "Synthesis",
    "arm",
    "arm_entrants",
    "arm_names",
    "arm_of",
    "checked_augmented",
    "parse_arm",
]

ENTRY_POINT_GROUP = "corpuscle.rare_label_arms"
#: Id -> where the class is, in this package; imported only when it is asked for.
BUILT_IN = {
    "none": "_arms_cheap:NoAugmentation",
    "class_weight": "_arms_cheap:ClassWeight",
    "oversample": "_arms_cheap:Oversample",
    "smote": "_arms_smote:SMOTE",
    "borderline_smote": "_arms_smote:BorderlineSMOTE",
    "adasyn": "_arms_smote:ADASYN",
    "noise": "_arms_cheap:Noise",
    "mixup": "_arms_cheap:Mixup",
    "mvn": "_arms_cheap:MVN",
    "gan": "_arms_learned:GAN",
    "vae": "_arms_learned:VAE",
    "diffusion": "_arms_learned:Diffusion",
    "gan_reference": "_arms_learned:GANReference",
    "gan_shuffled": "_arms_learned:GANShuffled",
    "vae_shuffled": "_arms_learned:VAEShuffled",
    "gan_other": "_arms_learned:GANOther",
}
PLUGINS = Plugins("arm", ENTRY_POINT_GROUP, "corpuscle.benchmarks.rare_labels", BUILT_IN)
#: In every table: the training samples alone, and what all others are compared to.
ALWAYS = ("none", "class_weight")
#: Arms without training; a generator has to beat the best of them.
CHEAP = (*ALWAYS, "oversample", "smote", "borderline_smote", "adasyn", "noise", "mixup", "mvn")
#: Arms that train a generator.
LEARNED = ("gan", "vae", "diffusion", "gan_reference")
#: Generators that cannot know the label, so that what they gain is not from imitating it.
NULLS = ("gan_shuffled", "vae_shuffled", "gan_other")
KINDS = ("none", "weights", "synthetic")
#: Code that every number depends on, whichever the arm.
CODE = ("corpuscle.benchmarks.rare_labels._arms", "corpuscle.benchmarks.rare_labels.budget")


def arm_names() -> list[str]:
    """Ids of every arm that can be asked for, ours first."""
    return PLUGINS.names()


def arm(name: str, **params: Any) -> Arm:
    """Construct the arm registered under ``name``; with parameters, they become part of its name.

    Raises
    ------
    OptionError
        No such name or parameter, or the package that brings it cannot be imported.

    Examples
    --------
    >>> arm("noise", scale=0.5).name
    'noise:scale=0.5'
    """
    return made(name, PLUGINS.find(name), params, arm_of)


def parse_arm(text: str) -> Arm:
    """Find the arm that a word of the command line stands for.

    ``NAME`` or ``NAME:key=value,key=value`` is a registered arm with parameters, read as the annotations of its
    constructor say; ``module:Class``, or ``module:Class:key=value``, a class, an instance or a function of a module that
    is installed or lies in the current folder.

    Raises
    ------
    OptionError
        It is none of these, or a value cannot be read.
    """
    return made(*read_method(text, PLUGINS.find), arm_of)


def arm_of(one: Any) -> Arm:
    """Check that an object is an arm.

    Raises
    ------
    OptionError
        It cannot be called, or lacks a name, what it was told, or its kind.
    """
    if isinstance(one, type) or not callable(one) or not isinstance(one, Arm):
        raise OptionError(f"{one!r} is no arm: it needs name, told, kind and to be called with what is given")
    if not all(isinstance(word, str) and word for word in (one.name, one.told)):
        raise OptionError(f"{one!r}: its name and what it was told must be text")
    if one.kind not in KINDS:
        raise OptionError(f"arm {one.name}: kind {one.kind!r} must be one of: {', '.join(KINDS)}")
    return one


def arm_entrants(arms: Iterable[Any] | str | None = None) -> list[Entrant]:
    """Arms by word or as objects, after the two that every table has; None is all the cheap ones.

    Each has its name, parameters and a digest of the source code that makes its samples.

    Raises
    ------
    OptionError
        An unknown word, an object that is no arm, or the same name twice.
    """
    chosen = each_once(CHEAP if arms is None else arms, parse_arm, arm_of, "arm")
    there = {one.name for one in chosen}
    always = [arm(name) for name in ALWAYS if name not in there]
    return [entrant(one, CODE) for one in sorted([*always, *chosen], key=lambda one: one.name not in ALWAYS)]
