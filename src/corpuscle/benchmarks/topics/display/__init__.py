"""Tells the report room how a topic result is shown; importing this module is enough."""

from corpuscle.benchmarks.topics.display.leaderboard_table import summary
from corpuscle.benchmarks.topics.display.page import page
from corpuscle.benchmarks.topics.display.plots import PLOTS
from corpuscle.benchmarks.topics.display.standings import leaderboard
from corpuscle.report import register

register("topics", page=page, plots=PLOTS, leaderboard=leaderboard, summary=summary)
