"""The benchmark: samples x methods in, one result out. A failure is a row, never a missing one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from corpuscle.benchmarks._measure import Cost
from corpuscle.benchmarks._provenance import provenance
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.coregulation.compat import card_compat
from corpuscle.benchmarks.coregulation.controls import Control, cheap_controls, refit_controls
from corpuscle.benchmarks.coregulation.count_split import judge_split, split_sample
from corpuscle.benchmarks.coregulation.judge import PairResult, evaluate_unit
from corpuscle.benchmarks.coregulation.methods import Method, as_methods, dense_inside, fit
from corpuscle.benchmarks.coregulation.options import Options
from corpuscle.benchmarks.coregulation.samples import Unread, require_sources, samples_of
from corpuscle.benchmarks.coregulation.tables import Tables
from corpuscle.benchmarks.coregulation.units import Sample, Unit, setting_without_pair, units_of
from corpuscle.normalize import Normalizer
from corpuscle.report import Result

__all__ = ["Progress", "benchmark", "evaluate"]

#: Called with (steps done, steps known, what is being done).
Progress = Callable[[int, int, str], None]


def benchmark(
    sources: Sequence[Any],
    methods: Iterable[str | Normalizer] | None = None,
    *,
    layer: str | None = None,
    sample_key: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Which normalisations keep a gene-gene relation that biology fixes, and which invent relations?

    Parameters
    ----------
    sources
        Paths, globs or AnnData of raw counts. Each is one sample with a reporter declared in ``uns``, or any human
        matrix with B cells and the genes IGKC and IGLC2.
    methods
        Registry ids, ``NAME=cmd:...``, ``module:Class`` or estimators; None is every method of the base install.
    layer
        Layer that holds the raw counts.
    sample_key
        ``obs`` column that splits each source into samples.
    progress
        Called before each step.
    **options
        Fields of :class:`Options`.

    Returns
    -------
    Result
        ``table`` (tidy), ``details`` (one row a unit, method and association), ``failures``, and in ``extras`` the
        background values, pair values, controls, count splits, comparisons and the data card's own numbers.

    Raises
    ------
    OptionError
        An unknown method or option.
    SourceError
        No source was given.
    """
    began = time.perf_counter()
    require_sources(sources)
    chosen, settings = as_methods(methods), _options(options)
    tables = Tables(settings)
    steps = _Steps(progress, len(sources), len(chosen))
    with threadpool_limits(1, user_api="blas"):  # sums in the same order, whatever the number of cores
        for sample in samples_of(sources, layer=layer, sample_key=sample_key):
            if isinstance(sample, Unread):
                tables.fail(sample.name, "", "open", str(sample.error))
                steps.skip()
                continue
            tables.add_input(sample)
            _run_sample(sample, chosen, settings, tables, steps)
    parameters = settings.to_dict() | {"methods": [m.name for m in chosen], "layer": layer, "sample_key": sample_key}
    return tables.result(provenance(parameters, tables.inputs, time.perf_counter() - began))


def evaluate(source: Any, method: str | Normalizer, **options: Any) -> list[PairResult]:
    """Judge one method on one sample: one :class:`PairResult` for each pair of the default variant.

    Parameters
    ----------
    source
        Path or AnnData of raw counts.
    method
        As in :func:`benchmark`.
    **options
        Fields of :class:`Options`.

    Raises
    ------
    CorpuscleError
        Whatever makes the sample, a pair or the method unusable.
    """
    (chosen,), settings = as_methods([method]), _options({"variants": False} | options)
    (sample,) = samples_of([source])
    if isinstance(sample, Unread):
        raise sample.error
    out = []
    for unit in units_of(sample, settings):
        if not isinstance(unit, Unit):
            raise unit[1]
        fitted = fit(chosen, unit.counts, settings.seed, sample.id, unit.variant)
        out.append(evaluate_unit(unit, chosen, fitted, settings))
    return out


def _options(given: dict[str, Any]) -> Options:
    if isinstance(given.get("association"), str):
        given = given | {"association": (given["association"],)}
    return Options(**given)


class _Steps:
    """Progress: one step a sample and method, however many units it has."""

    def __init__(self, progress: Progress | None, n_samples: int, n_methods: int) -> None:
        self.progress, self.n_methods = progress, n_methods
        self.done, self.total = 0, n_samples * n_methods

    def step(self, text: str) -> None:
        if self.progress:
            self.progress(self.done, max(self.total, self.done + 1), text)
        self.done += 1

    def skip(self) -> None:
        self.done += self.n_methods


#: What a user hears about a sample that declares no pair and has no light chains.
NO_PAIR = (
    "no pair to judge by: no reporter is declared in uns, and IGKC with IGLC2 or IGLC3 is not among the genes; add a "
    "reporter with 'corpuscle data import-reporter', or use a reference with light chains"
)


def _run_sample(sample: Sample, methods: list[Method], options: Options, tables: Tables, steps: _Steps) -> None:
    units = _asked(sample, options, tables)
    splits = None
    with _Guard(tables, sample.id, "", "count split"):
        setting = units[0] if units else setting_without_pair(sample, options)
        splits = split_sample(sample, setting.pool, options) if options.controls else None
    for method in methods:
        steps.step(f"{sample.id}: {method.name}")
        if units:
            _run_method(sample, units, method, options, tables)
        if splits and splits[1]:
            with _Guard(tables, sample.id, method.name, "count split"):
                rows = judge_split(setting, *splits, method, _measures(method, options)[0], options)
                tables.add_split(sample, method.name, list(rows))


def _asked(sample: Sample, options: Options, tables: Tables) -> list[Unit]:
    """The questions that can be asked; the others become failures with their reason."""
    units = []
    for unit in units_of(sample, options):
        if isinstance(unit, Unit):
            units.append(unit)
            tables.add_unit(unit)
            if unit.variant == "default":
                with _Guard(tables, sample.id, "", "card_compat"):
                    tables.add_card(unit, asdict(card_compat(sample.counts, unit.pair)))
        else:
            tables.fail(sample.id, "", unit[0], str(unit[1]))
    if not sample.pairs:
        tables.fail(sample.id, "", "pairs", f"{sample.counts.name}: {NO_PAIR}")
    return units


def _run_method(sample: Sample, units: list[Unit], method: Method, options: Options, tables: Tables) -> None:
    """Fit once for every variant of the counts, then judge each unit of it."""
    fitted_on: dict[int, tuple[Normalizer | None, Cost, str]] = {}
    for unit in units:
        if id(unit.counts) not in fitted_on:
            fitted_on[id(unit.counts)] = _fitted(unit, method, options)
        fitted, cost, reason = fitted_on[id(unit.counts)]
        if fitted is None:
            tables.fail(sample.id, method.name, f"fit ({unit.variant})", reason)
            tables.add_failed(unit, method, reason, cost)
            continue
        _judge(unit, method, fitted, cost, options, tables)
    first = units[0]
    fitted = fitted_on[id(first.counts)][0]
    if fitted is not None and options.controls:
        with _Guard(tables, sample.id, method.name, "controls"):
            for control in refit_controls(first, method, _measures(method, options)[0], options):
                tables.add_control(first, method.name, control)


def _fitted(unit: Unit, method: Method, options: Options) -> tuple[Normalizer | None, Cost, str]:
    cost = Cost()
    try:
        with cost:
            fitted = fit(method, unit.counts, options.seed, unit.sample.id, unit.variant)
    except Exception as error:  # a method is anybody's code: whatever it raises is its failure, not the run's
        return None, cost, reason_of(error)
    return fitted, cost, ""


def _judge(unit: Unit, method: Method, fitted: Normalizer, fit_cost: Cost, options: Options, tables: Tables) -> None:
    for i, measure in enumerate(_measures(method, options)):
        cost = Cost()
        try:
            with cost:
                dense_nk = dense_inside(fitted, unit, unit.genes)
            result = evaluate_unit(unit, method, fitted, options, measure, dense_nk)
            controls = list(cheap_controls(unit, dense_nk, measure, options))
        except Exception as error:
            reason = reason_of(error)
            tables.fail(unit.sample.id, method.name, f"{unit.pair.name} ({unit.variant})", reason)
            tables.add_failed(unit, method, reason, cost, association=measure, primary=i == 0)
            continue
        result.rest |= _control_columns(controls, tables.baseline_inflation(unit, measure))
        result.rest |= {
            "seconds": fit_cost.seconds + cost.seconds,
            "peak_mib": max(fit_cost.peak_mib, cost.peak_mib),
            "method_version": _version_of(fitted),
            "params": json.dumps(fitted.get_params(deep=False), default=str, sort_keys=True),
        }
        tables.add(unit, method, result, primary=i == 0)
        if i == 0 and unit.variant == "default":
            for control in controls:
                tables.add_control(unit, method.name, control)


def _measures(method: Method, options: Options) -> tuple[str, ...]:
    return (method.association,) if method.association else options.association


def _control_columns(controls: list[Control], baseline: float) -> dict[str, Any]:
    by_name = {control.control: control.value for control in controls if control.metric == "median_abs_r"}
    with np.errstate(invalid="ignore", divide="ignore"):
        index = float(np.float64(by_name["inflation"]) / baseline)
    return {"inflation_index": index, "depth_corr": by_name["depth_corr"]}


def _version_of(fitted: Normalizer) -> str:
    package = type(fitted).__module__.partition(".")[0]
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


class _Guard:
    """Turns whatever a step raises into a row of the failures."""

    def __init__(self, tables: Tables, dataset: str, method: str, stage: str) -> None:
        self.tables, self.where = tables, (dataset, method, stage)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            self.tables.fail(*self.where, reason_of(error))
            return True
        return False
