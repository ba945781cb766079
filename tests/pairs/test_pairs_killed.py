"""What a killed build leaves behind, and that the next one clears it away; never what another one still works on."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from pair_cells import chunk_files, small_rules

from corpuscle._folders import new_folder
from corpuscle.corpus.pairs.build import build_pairs
from corpuscle.corpus.pairs.check import verify_pairs
from corpuscle.errors import OutputError

#: Makes a folder, says so, and goes on when it is told to; "aside" stops with the older folder put aside.
CHILD = """
import sys
from pathlib import Path
from corpuscle._folders import new_folder
folder, aside = Path(sys.argv[1]), sys.argv[2] == "aside"
def say():
    print("there", flush=True)
    sys.stdin.readline()
real = Path.rename
def rename(self, target):
    if aside and self.name.endswith(".partial"):
        say()
    return real(self, target)
Path.rename = rename
with new_folder(folder) as made:
    (made / "cells").write_text("child")
    if not aside:
        say()
"""


@contextmanager
def child(folder, what="inside"):
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "there\n"
            yield process
        finally:
            process.kill()


def killed(folder, what="inside"):
    with child(folder, what) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()


def hidden(folder):
    return sorted(path.name.rsplit(".", 1)[1] for path in folder.iterdir() if path.name.startswith("."))


def make(folder, text="mine"):
    with new_folder(folder) as made:
        (made / "cells").write_text(text)


def test_a_killed_build_is_cleared_away_by_the_next_one_of_its_name(tmp_path):
    for _ in range(2):
        with child(tmp_path / "set") as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert hidden(tmp_path) == ["lock", "partial"], "the second child did not clear away the first one's"
    make(tmp_path / "other")
    make(tmp_path / "se")
    assert hidden(tmp_path) == ["lock", "partial"], "a folder of another name was touched"
    make(tmp_path / "set")
    assert hidden(tmp_path) == []
    assert (tmp_path / "set" / "cells").read_text() == "mine"


def test_what_a_living_process_works_on_is_left_alone(tmp_path):
    with child(tmp_path / "set") as process:
        make(tmp_path / "set")
        assert hidden(tmp_path) == ["lock", "partial"]
        process.communicate("\n", timeout=20)
        assert process.returncode == 0
    assert (tmp_path / "set" / "cells").read_text() == "child"
    assert hidden(tmp_path) == []


def test_an_older_folder_put_aside_by_a_killed_build_is_put_back(tmp_path):
    make(tmp_path / "set", "old")
    killed(tmp_path / "set", "aside")
    assert hidden(tmp_path) == ["lock", "old", "partial"] and not (tmp_path / "set").exists()
    with pytest.raises(OutputError, match="fails"), new_folder(tmp_path / "set"):
        raise OutputError("fails")
    assert (tmp_path / "set" / "cells").read_text() == "old"
    assert hidden(tmp_path) == []


def test_links_in_the_place_of_leftovers_are_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis").write_text("x")
    (tmp_path / ".set.0123abcd.lock").touch()
    (tmp_path / ".set.0123abcd.partial").symlink_to(tmp_path / "precious")
    (tmp_path / ".set.0123abce.lock").touch()
    (tmp_path / ".set.0123abce.old").symlink_to(tmp_path / "precious")
    (tmp_path / ".set.0123abcf.lock").symlink_to(tmp_path / "precious" / "thesis")
    (tmp_path / ".set.0123abcf.partial").mkdir()
    (tmp_path / ".set.0123abd0.partial").mkdir()  # nothing says whose it is
    make(tmp_path / "set")
    assert (tmp_path / "precious" / "thesis").read_text() == "x"
    assert (tmp_path / ".set.0123abcf.partial").is_dir() and (tmp_path / ".set.0123abd0.partial").is_dir()
    assert (tmp_path / "set" / "cells").read_text() == "mine"


def test_a_data_set_is_built_where_a_build_was_killed(tmp_path):
    (tmp_path / "in").mkdir()
    source = chunk_files(tmp_path / "in")[0]
    killed(tmp_path / "set")
    build_pairs(
        source, tmp_path / "set", format="single", shares=(1, 0, 0), embeddings=[], archive="h5ad", rules=small_rules()
    )
    assert verify_pairs(tmp_path / "set").problems == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "set"]
