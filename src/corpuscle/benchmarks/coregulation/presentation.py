"""Tells the report room how a co-regulation result is shown; importing this module is enough."""

from corpuscle.benchmarks.coregulation.leaderboard_table import summary
from corpuscle.benchmarks.coregulation.page import page
from corpuscle.benchmarks.coregulation.plots import PLOTS
from corpuscle.benchmarks.coregulation.standings import leaderboard
from corpuscle.report import register

register("coregulation", page=page, plots=PLOTS, leaderboard=leaderboard, summary=summary)
