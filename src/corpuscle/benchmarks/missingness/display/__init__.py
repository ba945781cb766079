"""Tells the report room how a result on missing values is shown; importing this module is enough."""

from corpuscle.benchmarks.missingness.display.boards import summary
from corpuscle.benchmarks.missingness.display.page import page
from corpuscle.benchmarks.missingness.display.plots import PLOTS
from corpuscle.benchmarks.missingness.display.standings import leaderboard
from corpuscle.report import register

register("missingness", page=page, plots=PLOTS, leaderboard=leaderboard, summary=summary)
