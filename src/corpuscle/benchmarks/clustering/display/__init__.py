"""Tells the report room how a clustering result is shown; importing this module is enough."""

from corpuscle.benchmarks.clustering.display.boards import summary
from corpuscle.benchmarks.clustering.display.page import page
from corpuscle.benchmarks.clustering.display.plots import PLOTS
from corpuscle.benchmarks.clustering.display.standings import leaderboard
from corpuscle.report import register

register("clustering", page=page, plots=PLOTS, leaderboard=leaderboard, summary=summary)
