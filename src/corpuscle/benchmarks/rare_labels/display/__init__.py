"""Tells the report room how a result on rare labels is shown; importing this module is enough."""

from corpuscle.benchmarks.rare_labels.display.boards import summary
from corpuscle.benchmarks.rare_labels.display.page import page
from corpuscle.benchmarks.rare_labels.display.plots import PLOTS
from corpuscle.benchmarks.rare_labels.display.standings import leaderboard
from corpuscle.report import register

register("rare_labels", page=page, plots=PLOTS, leaderboard=leaderboard, summary=summary)
