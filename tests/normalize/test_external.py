"""Methods that live elsewhere: what they are given, what they may return, and every way they can fail."""

from __future__ import annotations

import shlex
import sys
import textwrap
import time
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from corpuscle import Counts, open_counts
from corpuscle.counts import MemorySource
from corpuscle.errors import GeneError, MethodError, OptionError
from corpuscle.normalize import CallableMethod, ExternalCommand, Normalizer, normalizer, parse_method, strip

X_NG = np.random.default_rng(0).poisson(1.5, (8, 6)).astype(np.int32)
GENES = ["A", "B", "C", "D", "E", "F"]
SECRET = {"exclusion_pairs": {"A_vs_B": {"gene_a_symbol": "A"}}}
HEADER = "import sys, os, h5py, numpy as np, anndata as ad\na = ad.read_h5ad(sys.argv[1]); out = sys.argv[2]\n"


def make_counts(genes: list[str] = GENES, cells: list[str] | None = None) -> Counts:
    obs = pd.DataFrame({"cell_type": ["B"] * 8}, index=cells or [f"cell{i}" for i in range(8)])
    var = pd.DataFrame({"gene_id": [f"ENSG{i}" for i in range(6)], "is_target": True}, index=genes)
    return Counts([MemorySource(sp.csr_matrix(X_NG), obs, var, uns=dict(SECRET))])


@pytest.fixture
def counts() -> Counts:
    return make_counts()


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a method's script and give its command; temporary files go where the test can see them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)

    def write(body: str, header: str = HEADER) -> str:
        path = tmp_path / "a method.py"
        path.write_text(header + textwrap.dedent(body))
        return f"{shlex.quote(sys.executable)} {shlex.quote(str(path))} {{in}} {{out}}"

    yield write
    assert not list((tmp_path / "tmp").iterdir())  # nothing is left behind, whatever happened


@pytest.fixture
def gives(script, tmp_path: Path):
    """Command whose output is what a few statements make of its input, written here and copied by the command."""

    def command(counts: Counts, body: str) -> str:
        prepared = tmp_path / "prepared.h5ad"
        a = anndata.AnnData(
            sp.csr_matrix(X_NG), obs=pd.DataFrame(index=counts.obs.index), var=pd.DataFrame(index=counts.var_names)
        )
        exec(textwrap.dedent(body), {"a": a, "out": str(prepared), "np": np, "pd": pd, "ad": anndata, "h5py": h5py})
        return f'sh -c \'test -s "$1" && cp "$2" "$3"\' copy {{in}} {shlex.quote(str(prepared))} {{out}}'

    return command


# -- a command ---------------------------------------------------------------------------------------------------


def test_values_are_put_in_order_by_name_and_dropped_genes_are_nan(counts: Counts, script) -> None:
    command = script("""
        a.X = a.X.astype('float32') * 2
        a[::-1, ['F', 'B', 'A', 'D', 'C']].copy().write_h5ad(out)
    """)
    method = ExternalCommand("twice", command).fit(counts)
    expected = 2.0 * X_NG
    expected[:, 4] = np.nan
    np.testing.assert_array_equal(method.transform(counts), expected)
    np.testing.assert_array_equal(method.transform(counts, ["D", "E", "A"]), expected[:, [3, 4, 0]])
    np.testing.assert_array_equal(method.dropped_, [False, False, False, False, True, False])
    assert method.transform(counts).dtype == np.float64


def test_dense_output_and_unknown_genes_are_fine(counts: Counts, gives) -> None:
    command = gives(
        counts,
        """
        x = np.hstack([a.X.toarray() + 0.5, np.ones((8, 1))])
        ad.AnnData(x, obs=a.obs, var=pd.DataFrame(index=[*a.var_names, 'new'])).write_h5ad(out)
        """,
    )
    np.testing.assert_array_equal(ExternalCommand("half", command).fit(counts).transform(counts), X_NG + 0.5)


def test_it_sees_counts_and_names_and_no_answer(counts: Counts, script) -> None:
    command = script("""
        with h5py.File(sys.argv[1]) as f:
            assert not len(f.get('uns', [])) and not len(f.get('obsm', [])) and not len(f.get('layers', []))
        assert list(a.obs.columns) == [] and list(a.var.columns) == ['gene_id'], (a.obs.columns, a.var.columns)
        assert list(a.var['gene_id'])[:2] == ['ENSG0', 'ENSG1'] and not a.uns
        assert a.X.dtype.kind == 'i' and a.X.format == 'csr'
        a.write_h5ad(out)
    """)
    np.testing.assert_array_equal(ExternalCommand("look", command).fit(counts).transform(counts), X_NG)


def test_names_that_repeat_are_still_told_apart(gives) -> None:
    counts = make_counts(genes=["A", "A", "A-1", "B", "A", "C"], cells=["x", "x", *"abcdef"])
    unique = "a.var_names = ['A', 'A-2', 'A-1', 'B', 'A-3', 'C']; a.obs_names = ['x', 'x-1', *'abcdef']"
    command = gives(counts, f"{unique}; a[::-1, ::-1].copy().write_h5ad(out)")
    np.testing.assert_array_equal(ExternalCommand("copy", command).fit(counts).transform(counts), X_NG)


def test_exit_code_and_the_last_lines_of_stderr_are_reported(counts: Counts, script) -> None:
    command = script("for i in range(30): print('line', i, file=sys.stderr)\nsys.exit(3)\n", header="import sys\n")
    method = ExternalCommand("broken", command)
    with pytest.raises(MethodError, match=r"broken: the command exited with code 3.*line 10 \| .*line 29$") as caught:
        method.fit(counts)
    message = str(caught.value)
    assert "\n" not in message and "line 9 " not in message
    assert method.stderr_.startswith("line 0\n") and caught.value.stderr == method.stderr_


def test_time_limit_kills_the_command_and_its_children(counts: Counts, script, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    command = script(
        f"""
        child = subprocess.Popen(['sleep', '60'])
        open({str(pid_file)!r}, 'w').write(str(child.pid))
        print('waiting', file=sys.stderr, flush=True)
        child.wait()
        """,
        header="import subprocess, sys\n",
    )
    with pytest.raises(MethodError, match=r"slow: took longer than 2 s and was stopped.*waiting"):
        ExternalCommand("slow", command, timeout=2).fit(counts)
    assert not is_running(int(pid_file.read_text()))


def test_a_process_left_behind_is_killed(counts: Counts, script, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    command = f"sh -c 'sleep 60 & echo $! > \"$1\"; exit 1' leave {shlex.quote(str(pid_file))} {{in}} {{out}}"
    with pytest.raises(MethodError):
        ExternalCommand("leaver", command).fit(counts)
    assert not is_running(int(pid_file.read_text()))


def is_running(pid: int) -> bool:
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "a.X = a.X.astype(float); a.X.data[3] = np.nan; a.write_h5ad(out)",
            r"returned nan for cell cell\d, gene [A-F]",
        ),
        (
            "x = a.X.toarray() * 1.0; x[5, 2] = np.inf; a.X = x; a.write_h5ad(out)",
            "returned inf for cell cell5, gene C",
        ),
        ("a[:5].copy().write_h5ad(out)", "3 of 8 cells are not in the output, the first cell5"),
        ("a.obs_names = list('abcdefgh'); a.write_h5ad(out)", "8 of 8 cells are not in the output"),
        ("ad.concat([a, a]).write_h5ad(out)", "cell cell0 is in the output more than once"),
        ("a.var_names = list('AACDEF'); a.write_h5ad(out)", "gene A is in the output more than once"),
        ("a.var_names = list('uvwxyz'); a.write_h5ad(out)", "no gene of the output is one of the input, e.g. u"),
        ("open(out, 'wb').write(b'not hdf5')", "not a readable h5ad"),
        ("h5py.File(out, 'w').close()", "the output has no X, obs, var"),
        (
            "a.write_h5ad(out); f = h5py.File(out, 'a'); del f['X']; f['X'] = np.ones((3, 6))",
            r"shape 3 x 6, not 8 cells",
        ),
        (
            "a.write_h5ad(out); f = h5py.File(out, 'a'); del f['X']; f['X'] = np.full((8, 6), b'x')",
            "must be real numbers",
        ),
        ("a.write_h5ad(out); f = h5py.File(out, 'a'); del f['X']; f['X'] = np.ones((8, 6), complex)", "real numbers"),
        ("a.write_h5ad(out); f = h5py.File(out, 'a'); del f['obs']; f.create_group('obs')", "not a readable h5ad"),
        ("a.write_h5ad(out); f = h5py.File(out, 'a'); f['X'].attrs['shape'] = [10**9, 6]", "shape 1000000000 x 6"),
        ("a.write_h5ad(out); open(out, 'r+b').truncate(3000)", "not a readable h5ad"),
    ],
)
def test_output_that_cannot_be_used_is_refused(counts: Counts, gives, body: str, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        ExternalCommand("odd", gives(counts, body)).fit(counts)


def test_no_output_and_a_killed_command(counts: Counts, script) -> None:
    with pytest.raises(MethodError, match="ended well but wrote no file"):
        ExternalCommand("odd", "true {in} {out}").fit(counts)
    with pytest.raises(MethodError, match="was killed by signal 9; it wrote nothing to stderr"):
        ExternalCommand("odd", "sh -c 'kill -9 $$' odd {in} {out}").fit(counts)


def test_a_command_that_is_not_there(counts: Counts, script) -> None:
    with pytest.raises(MethodError, match=r"cannot start no-such-program: No such file"):
        ExternalCommand("gone", "no-such-program {in} {out}").fit(counts)


@pytest.mark.parametrize("command", ["run {in}", "run {out}", "run '{in} {out}", ""])
def test_a_template_without_its_places_is_refused(counts: Counts, command: str) -> None:
    with pytest.raises(OptionError):
        ExternalCommand("bad", command).fit(counts)


def test_no_shell_sees_the_command(counts: Counts, script, tmp_path: Path) -> None:
    command = script("assert sys.argv[3:] == [';', 'touch', 'x', '$HOME'], sys.argv\n", header="import sys\n")
    with pytest.raises(MethodError, match="wrote no file"):
        ExternalCommand("plain", command + " ';' touch x '$HOME'").fit(counts)


def test_time_limit_must_be_positive(counts: Counts) -> None:
    with pytest.raises(OptionError, match="must be above 0"):
        ExternalCommand("x", "run {in} {out}", timeout=0).fit(counts)


def test_it_is_an_estimator_like_the_others(counts: Counts, gives) -> None:
    method = clone(ExternalCommand("copy", gives(counts, "a.write_h5ad(out)"), timeout=60))
    assert method.get_params()["timeout"] == 60 and method.name == "copy"
    with pytest.raises(MethodError, match="copy: call fit before transform"):
        method.transform(counts)
    with pytest.raises(GeneError):
        method.fit(counts).transform(counts, ["Z"])


def test_a_run_that_fails_leaves_the_last_good_one(counts: Counts, gives, tmp_path: Path) -> None:
    method = ExternalCommand("m", gives(counts, "a.write_h5ad(out)")).fit(counts)
    (tmp_path / "prepared.h5ad").unlink()
    with pytest.raises(MethodError):
        method.fit(counts)
    np.testing.assert_array_equal(method.transform(counts), X_NG)


# -- a function --------------------------------------------------------------------------------------------------


def test_a_function_gets_counts_and_names(counts: Counts) -> None:
    def double(x_ng: sp.csr_matrix, genes: list[str], cells: list[str]) -> sp.csr_matrix:
        assert genes == GENES and cells[0] == "cell0"
        x_ng.data *= 2  # its own copy
        return x_ng

    method = CallableMethod("double", double).fit(counts)
    np.testing.assert_array_equal(method.transform(counts, ["C", "A"]), 2.0 * X_NG[:, [2, 0]])
    np.testing.assert_array_equal(counts.to_csr().toarray(), X_NG)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, genes, cells: x.toarray()[:, :3], "shape 8 x 3, not 8 cells x 6 genes"),
        (lambda x, genes, cells: x.toarray().T, "shape 6 x 8, not 8 cells"),
        (lambda x, genes, cells: None, "shape none"),
        (lambda x, genes, cells: x.toarray() * 1j, "real numbers"),
        (lambda x, genes, cells: x.toarray().astype(str), "real numbers"),
        (lambda x, genes, cells: np.where(np.arange(48).reshape(8, 6) == 13, np.nan, 0), "nan for cell cell2, gene B"),
        (lambda x, genes, cells: x * np.nan, "nan for cell"),
        (lambda x, genes, cells: {}["k"], "the function raised KeyError"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_a_function_returns_is_checked(counts: Counts, function, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        CallableMethod("mine", function).fit(counts)


# -- a word of the command line ----------------------------------------------------------------------------------

MODULE = """
from corpuscle.normalize.log1p_cp10k import Log1pCP10k
class Mine(Log1pCP10k):
    name = "mine"
class Needy(Log1pCP10k):
    def __init__(self, target):
        self.target = target
def double(x_ng, genes, cells):
    return x_ng * 2
number = 3
"""


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corpuscle_test_methods.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "corpuscle_test_methods", raising=False)


def test_a_word_names_a_method(counts: Counts, in_folder: None) -> None:
    before = list(sys.path)
    assert type(parse_method("log1p_cp10k")) is type(normalizer("log1p_cp10k"))
    assert parse_method("corpuscle_test_methods:Mine").name == "mine"
    named = parse_method("his=corpuscle_test_methods:double")
    assert isinstance(named, CallableMethod) and named.name == "his"
    np.testing.assert_array_equal(named.fit(counts).transform(counts), 2 * X_NG)
    command = parse_method("dca=cmd:Rscript run.R --in={in} {out} --k=v", timeout=5)
    assert isinstance(command, ExternalCommand)
    assert command.get_params() == {"name": "dca", "command": "Rscript run.R --in={in} {out} --k=v", "timeout": 5}
    assert sys.path == before


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("no_such_method", "no method is called 'no_such_method'"),
        ("a=cmd:run {in}", "has no {out}"),
        ("a=run {in} {out}", "after = comes cmd:COMMAND"),
        ("no_such_module_at_all:X", "cannot import no_such_module_at_all"),
        ("corpuscle_test_methods:Absent", "has no Absent"),
        ("corpuscle_test_methods:Needy", "cannot be made without parameters"),
        ("corpuscle_test_methods:number", "neither a Normalizer nor a function"),
        ("pathlib:Path", "neither a Normalizer nor a function"),
    ],
)
def test_words_that_name_nothing_are_refused(in_folder: None, word: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_method(word)


# -- what a method may see ---------------------------------------------------------------------------------------


def test_strip_leaves_counts_names_and_ids(counts: Counts) -> None:
    bare = strip(counts)
    assert bare.uns == {} and list(bare.obs.columns) == [] and list(bare.var.columns) == ["gene_id"]
    assert list(bare.var_names) == GENES and bare.gene_index(["ENSG2"])[0] == 2
    np.testing.assert_array_equal(bare.to_csr().toarray(), X_NG)
    assert counts.uns == SECRET and "cell_type" in counts.obs


def test_strip_of_a_file_streams_and_keeps_the_depths(tmp_path: Path) -> None:
    counts = make_counts()
    path = tmp_path / "a.h5ad"
    anndata.AnnData(sp.csr_matrix(X_NG), obs=counts.obs, var=counts.var, uns=SECRET).write_h5ad(path)
    with open_counts(path) as opened:
        bare = strip(opened)
        assert bare.uns == {} and list(bare.obs.columns) == []
        np.testing.assert_array_equal(bare.columns(["B", "ENSG4"]).toarray(), X_NG[:, [1, 4]])
    left_out = strip(counts.without_depth_of(["A"]))
    np.testing.assert_array_equal(left_out.profile().depth_n, X_NG[:, 1:].sum(axis=1))


def test_normalizer_is_the_base_of_all(counts: Counts) -> None:
    assert isinstance(ExternalCommand("x", ""), Normalizer) and isinstance(CallableMethod("x", len), Normalizer)
    assert not ExternalCommand("x", "").inductive
