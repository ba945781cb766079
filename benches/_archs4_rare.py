"""The runs of rare-label augmentation for the evidence page; what finished is kept, so that a stopped call goes on.

python -m benches._archs4_rare [--out FOLDER] [--only kang,zheng] [--design] [--nulls]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benches._archs4_sets import DESIGN, SETS, written
from benches._pages import progress
from corpuscle.benchmarks import rare_labels
from corpuscle.report import Result

OUT = Path("build/evidence-archs4")
REPEATS = tuple(range(10, 15))
RARITY = (5, 20, 50)
AMOUNTS = (1, 5, 10, "median")
#: Steps are bounded, since the GAN costs more than all others together; the effect of more is shown on the design sets.
ARMS = ("cheap", "gan:steps=1000", "vae", "diffusion:steps=2000", "gan_reference", "vae_shuffled")
NULLS = ("gan_shuffled:steps=1000", "gan_other:steps=1000")
NULL_SETS, NULL_REPEATS = ("kang",), REPEATS[:1]
LENGTHS = ("gan:steps=1000", "gan:steps=5000", "diffusion:steps=2000", "diffusion:steps=5000", "vae")


def run(names: Sequence[str], arms: Sequence[str], out: Path, **options: object) -> Result:
    """One call for several sets, so that arms are compared over all of them; no two sets have a target in common."""
    targets = [target for name in names for target in (SETS | DESIGN)[name].targets]
    asked = {"rarity": RARITY, "repeats": REPEATS, "amounts": AMOUNTS, "judged_repeats": 2} | options
    return rare_labels.benchmark(
        [written(name, out / "sets") for name in names], list(arms), labels="label", groups="series", targets=targets,
        out=out / "rare", progress=progress, **asked,
    )  # fmt: skip


def main_runs(out: Path, names: Sequence[str] = tuple(SETS)) -> Result:
    return run(names, ARMS, out)


def null_runs(out: Path) -> Result:
    return run(NULL_SETS, NULLS, out, repeats=NULL_REPEATS)


def length_runs(out: Path) -> Result:
    """Does more training change anything? On the sets that defaults were chosen on."""
    return run(tuple(DESIGN), LENGTHS, out, rarity=(20,), repeats=(10,), judged_repeats=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--design", action="store_true")
    parser.add_argument("--nulls", action="store_true")
    args = parser.parse_args()
    if args.design:
        length_runs(args.out)
    elif args.nulls:
        null_runs(args.out)
    else:
        main_runs(args.out, args.only.split(","))


if __name__ == "__main__":
    main()
