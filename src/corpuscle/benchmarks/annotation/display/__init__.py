"""Tells the report room how an annotation result is shown; importing this module is enough."""

from corpuscle.benchmarks.annotation.display.boards import summary
from corpuscle.benchmarks.annotation.display.page import page
from corpuscle.benchmarks.annotation.display.plots import PLOTS
from corpuscle.benchmarks.annotation.display.standings import leaderboard
from corpuscle.report import register

register("annotation", page=page, plots=PLOTS, leaderboard=leaderboard, summary=summary)
