"""Does adding synthetic samples of a rare label help to find it in studies not seen?

Arms that train a generator stand beside arms that cost nothing, with the same weight of the label in all, and are accepted
only where they beat the best of those on series that nobody trained on. Null controls are never ranked.
"""

from corpuscle.benchmarks.rare_labels.arms import Arm, Augmented, Given, parse_arm
from corpuscle.benchmarks.rare_labels.display.findings import headline
from corpuscle.benchmarks.rare_labels.options import Options
from corpuscle.benchmarks.rare_labels.run import benchmark

__all__ = ["Arm", "Augmented", "Given", "Options", "benchmark", "headline", "parse_arm"]
