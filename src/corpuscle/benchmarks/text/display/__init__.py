"""Tells the report room how a result of cells and words is shown; importing this module is enough."""

from corpuscle.benchmarks.text.display.boards import summary
from corpuscle.benchmarks.text.display.page import page
from corpuscle.benchmarks.text.display.plots import PLOTS
from corpuscle.benchmarks.text.display.standings import leaderboard
from corpuscle.report import register

register("text", page=page, plots=PLOTS, leaderboard=leaderboard, summary=summary)
