"""Tells the report room how a co-regulation result is shown; importing this module is enough."""

from corpuscle.benchmarks.coregulation.display.leaderboard_table import summary
from corpuscle.benchmarks.coregulation.display.page import page
from corpuscle.benchmarks.coregulation.display.plots import PLOTS
from corpuscle.benchmarks.coregulation.display.standings import leaderboard
from corpuscle.report import register

register("coregulation", page=page, plots=PLOTS, leaderboard=leaderboard, summary=summary)
