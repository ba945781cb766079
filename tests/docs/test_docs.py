"""The documentation says what the code does: its commands parse, its examples run, its tables are in step."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import typer

from corpuscle import open_counts
from corpuscle.benchmarks import clustering, topics
from corpuscle.benchmarks.coregulation.aggregate import TASKS
from corpuscle.benchmarks.coregulation.association import MEASURES
from corpuscle.benchmarks.coregulation.background import MODES
from corpuscle.benchmarks.coregulation.methods import BASE_METHODS
from corpuscle.benchmarks.missingness import methods as missingness
from corpuscle.benchmarks.text import methods as text
from corpuscle.cli import app
from corpuscle.datasets import bundled, bundled_path
from corpuscle.datasets.validate import CHECKS
from corpuscle.normalize import _registry, normalizer_names, parse_method

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts and "generated" not in page.parts),
]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
#: A subset that keeps examples fast.
FEW = ["IGKC", "IGLC2", "CD79A"]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return [match["body"] for match in FENCE.finditer(text_of(page)) if match["language"] == language]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands() -> Iterator[Any]:
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("corpuscle "):
                    yield pytest.param(line.strip(), id=f"{name_of(page)}: {line[10:50].strip()}")


# -- commands --------------------------------------------------------------------------------------------------


def parse(line: str) -> None:
    """Take a command line apart as the command would, without running it."""
    command = typer.main.get_command(app)
    name, *words = shlex.split(line, comments=True)
    context = command.make_context(name, list(words), resilient_parsing=True)
    while hasattr(command, "commands"):
        assert words, f"{line}: no command after {name}"
        name, *words = words
        assert name in command.commands, f"{line}: there is no command {name}"
        command = command.commands[name]
        deeper = hasattr(command, "commands")
        context = command.make_context(name, list(words), parent=context, resilient_parsing=deeper)


@pytest.mark.parametrize("line", commands())
def test_every_command_line_parses(line: str) -> None:
    parse(line)


@pytest.mark.parametrize(
    "line",
    ["corpuscle benhc x", "corpuscle bench coregulation x.h5ad -o out --no-such-option", "corpuscle data validate"],
)
def test_a_wrong_command_line_is_noticed(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no command|no such option|missing"):
        parse(line)


def test_ids_in_command_lines_exist() -> None:
    known = {
        "coregulation": {*normalizer_names(), "cscore", "power"},
        "clustering": {*clustering.method_names()},
        "topics": {*topics.method_names()},
        "text": {*text.method_names()},
        "missingness": {*missingness.method_names()},
    }
    for parameter in commands():
        words = shlex.split(parameter.values[0], comments=True)
        if "bench" in words and "--methods" in words:
            benchmark = words[words.index("bench") + 1]
            for method in words[words.index("--methods") + 1].split(","):
                assert "=" in method or ":" in method or method in known[benchmark], method
        if "--background" in words:
            assert words[words.index("--background") + 1] in MODES


# -- examples --------------------------------------------------------------------------------------------------


def python_pages() -> list[Path]:
    return [page for page in PAGES if blocks(page, "python") and page.name != "own-method.md"]


@pytest.mark.parametrize("page", python_pages(), ids=name_of)
def test_python_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "python"):
        exec(compile(block, name_of(page), "exec"), {})


@pytest.fixture
def own_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files of the page about own methods, each named by the first line of its block."""
    for language in ("python", "toml"):
        for block in blocks(DOCS / "howto" / "own-method.md", language):
            named = re.match(r"# ([\w.]+)\n", block)
            if named:
                (tmp_path / named[1]).write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for module in ("my_methods", "my_function"):
        sys.modules.pop(module, None)


def values(method: str) -> np.ndarray[Any, Any]:
    with open_counts(bundled_path("pbmc_1k_v3")) as counts:
        held = counts.load().select_cells(np.arange(60))
        out = parse_method(method).fit(held).transform(held, FEW)
        raw = held.columns(FEW).toarray()
        assert out.shape == raw.shape
        assert not np.array_equal(out.toarray() if hasattr(out, "toarray") else out, raw)
    return np.asarray(out.todense() if hasattr(out, "todense") else out)


def test_own_class_function_and_command_work_as_written(own_methods: Path) -> None:
    power = values("my_methods:Power")
    root = values(f"sqrt_pf=cmd:{sys.executable} sqrt_pf.py {{in}} {{out}}")
    np.testing.assert_allclose(power**2, root, rtol=1e-6)  # the one is a fourth root, the other a square root
    assert (values("clr=my_function:centred_log") < 0).any()


def test_own_class_in_a_benchmark_as_written(own_methods: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(own_methods)
    (block,) = [b for b in blocks(DOCS / "howto" / "own-method.md", "python") if "coregulation.benchmark" in b]
    namespace: dict[str, Any] = {}
    exec(block, namespace)
    assert set(namespace["result"].table["method"]) == {"log1p_cp10k", "power"}
    assert namespace["result"].failures.empty


def test_entry_point_of_the_example_package_is_found(own_methods: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tomllib

    project = tomllib.loads((own_methods / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = own_methods / "my_methods-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1\n")
    ((group, points),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(own_methods)
    vars(_registry.PLUGINS).pop("external", None)
    try:
        assert "power" in normalizer_names()
        assert (values("power") >= 0).all()
    finally:
        vars(_registry.PLUGINS).pop("external", None)


# -- links -----------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#{1,3} (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_resolve(page: Path) -> None:
    for match in LINK.finditer(FENCE.sub("", text_of(page))):
        target, _, anchor = unquote(match["target"]).partition("#")
        if re.match(r"https?:", target):
            continue
        other = (page.parent / target).resolve() if target else page
        assert other.exists(), f"{name_of(page)}: {match['target']} leads nowhere"
        assert not anchor or anchor in anchors(other), f"{name_of(page)}: no heading #{anchor} in {other.name}"


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {DOCS / "index.md"}
    for page in PAGES:
        for block in re.findall(r"```\{toctree\}\n(.*?)```", text_of(page), re.DOTALL):
            entries = [line.strip() for line in block.splitlines() if line.strip() and not line.startswith(":")]
            listed |= {page.parent / f"{entry}.md" for entry in entries}
    assert {page for page in PAGES if DOCS in page.parents} == listed


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_path_of_one_machine(page: Path) -> None:
    found = re.search(r"(?<![\w.~/])/(?:home|root|work|Users|tmp|mnt|opt|var)/\S*", text_of(page))
    assert found is None, f"{name_of(page)}: {found}"


# -- tables in step with the code ------------------------------------------------------------------------------


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("corpuscle_docs_generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["methods.md", "cli.md"])
def test_generated_tables_are_fresh(page: str) -> None:
    made = generator()
    there = text_of(DOCS / page)
    assert made.between_marks(there, made.generated()[page]) == there, "run: python docs/generate.py"


def test_every_method_states_its_effect_on_correlations() -> None:
    made = generator()
    for name in _registry.BUILT_IN:
        source, effect = made.source_and_effect(_registry.normalizer_class(name))
        assert effect, f"{name}: no 'Effect on correlations:' in the notes of its docstring"
        assert source != "none needed" or name == "raw", f"{name}: no 'Source:' in the notes of its docstring"


def test_readme_names_every_method() -> None:
    readme = text_of(ROOT / "README.md")
    assert [name for name in (*_registry.BUILT_IN, *BASE_METHODS) if f"`{name}`" not in readme] == []
    assert f"{len(_registry.BUILT_IN)} normalisations" in readme


def test_columns_of_a_real_result_are_explained() -> None:
    from corpuscle.benchmarks import coregulation

    result = coregulation.benchmark(
        [bundled_path("pbmc_1k_v3")], ["log1p_cp10k"], n_boot=20, n_null=5, association=("pearson", "spearman")
    )
    assert result.failures.empty
    page = text_of(DOCS / "coregulation.md")
    columns = page.partition("### Columns of details")[2].partition("\n## ")[0]
    assert [name for name in result.details if f"`{name}`" not in columns] == []
    named = set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in columns.splitlines() if "|" in line)))
    assert named <= set(result.details), "columns that no result has"
    tidy = page.partition("### Columns of results")[2].partition("### ")[0]
    assert [name for name in (*result.table, *result.table["metric"].unique()) if f"`{name}`" not in tidy] == []
    assert [name for name in result.extras if f"`{name}.parquet`" not in page] == []
    assert [name for name in result.extras["controls"]["control"].unique() if f"`{name}`" not in page] == []


def test_choices_are_explained() -> None:
    page = text_of(DOCS / "coregulation.md")
    assert [name for name in (*MEASURES, *MODES, *TASKS.values()) if f"`{name}`" not in page] == []
    rows = re.findall(r"^\| ([EW]\d) \| (.*) \|$", text_of(DOCS / "formats.md"), re.MULTILINE)
    assert dict(rows) == CHECKS
    assert [name for name in bundled() if f"`{name}`" not in text_of(DOCS / "data.md")] == []


def test_public_names_are_on_the_api_page() -> None:
    import corpuscle.benchmarks.coregulation
    import corpuscle.datasets
    import corpuscle.errors
    import corpuscle.normalize

    listed = re.findall(r"^   (corpuscle\.[\w.]+)$", text_of(DOCS / "api.md"), re.MULTILINE)
    for name in listed:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), f"{name} is not there"
    names = {name.rpartition(".")[2] for name in listed}
    modules = (corpuscle.normalize, corpuscle.benchmarks.coregulation, corpuscle.errors)
    public = {name for module in modules for name in module.__all__ if not name.isupper()}
    assert public - names <= {"Values", "check_target"}


def test_the_collider_formula_is_what_happens() -> None:
    """Detections of independent genes among the cells that have either: correlation -sqrt((1 - a)(1 - b))."""
    n = 600
    for a, b in ((1 / 4, 1 / 3), (1 / 10, 1 / 2)):
        both, first, second = round(a * b * n), round(a * (1 - b) * n), round((1 - a) * b * n)
        x = np.repeat([1, 1, 0], [both, first, second])
        y = np.repeat([1, 0, 1], [both, first, second])
        assert np.corrcoef(x, y)[0, 1] == pytest.approx(-np.sqrt((1 - a) * (1 - b)), abs=1e-12)
