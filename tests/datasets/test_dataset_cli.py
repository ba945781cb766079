"""The data commands: what they print, and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import pytest
from hub_server import COMMIT, serving

import corpuscle.cli.data  # noqa: F401  registers the commands
from corpuscle.cli import main
from corpuscle.datasets import bundled_path, fetch, read_pairs

DATA_SET = "valsv/scrna-coregulation-benchmark"
PBMC = str(bundled_path("pbmc_1k_v3"))


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(["data", *args])
    out, err = capsys.readouterr()
    return code, out, err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "coregulation")
    assert code == 0 and "GSE296504" in out and "35 files, 390,767 cells" in out and "pbmc_1k_v2" in out
    code, out, _ = run(capsys, "list", "--json")
    assert code == 0 and len(json.loads(out)) == 11
    code, _, err = run(capsys, "list", "other")
    assert code == 2 and err == "error: no catalog other; there is coregulation\n"


def test_validate_ends_with_2_on_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "validate", "coregulation", PBMC)
    assert code == 0 and "0 errors, 0 warnings" in out
    bad = anndata.read_h5ad(PBMC)[:250].copy()
    del bad.uns["exclusion_pairs"]
    bad.write_h5ad(tmp_path / "bad.h5ad")
    code, out, _ = run(
        capsys, "validate", "coregulation", PBMC, str(tmp_path / "bad.h5ad"), str(tmp_path / "no.h5ad"), "--json"
    )
    found = json.loads(out)
    assert code == 2 and [[issue["id"] for issue in issues] for issues in found.values()] == [[], ["E3"], ["E0"]]
    assert run(capsys, "validate", "coregulation", str(tmp_path / "bad.h5ad"))[0] == 2


def test_fetch_and_remote_list(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_server.REPO", DATA_SET)
    files = {"promoter_reporter/GSE229976_a.h5ad": b"x" * 100, "promoter_reporter/GSE1.h5ad": b"y"}
    with serving(files) as hub:
        where = ["--endpoint", hub.endpoint]
        code, out, _ = run(capsys, "list", "coregulation", "--remote", "--json", *where)
        assert code == 0 and [(file["size"], file["commit"]) for file in json.loads(out)] == [
            (1, COMMIT),
            (100, COMMIT),
        ]
        code, out, err = run(capsys, "fetch", "coregulation", "GSE229976", "-o", str(tmp_path), *where)
        assert code == 0 and out.endswith("GSE229976_a.h5ad\t100\tdownloaded\n") and err == ""
        code, out, _ = run(capsys, "fetch", "coregulation", "GSE229976", "-o", str(tmp_path), "--json", *where)
        assert code == 0 and json.loads(out)[0]["status"] == "present"
        code, _, err = run(capsys, "fetch", "coregulation", "GSE7", "-o", str(tmp_path), *where)
        assert code == 2 and err.count("\n") == 1 and "no file or series matches GSE7" in err
    assert [path.name for path in tmp_path.rglob("*.h5ad")] == ["GSE229976_a.h5ad"]


def test_import_exclusion_writes_a_file_that_validates(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out_file = str(tmp_path / "s.h5ad")
    pair = ["--gene-b", "IGLC2", "--gene-b", "IGLC3"]
    code, out, _ = run(capsys, "import-exclusion", PBMC, *pair, "--tissue", "blood", "-o", out_file)
    assert code == 0 and "906 cells x 14,688 genes; IGKC / IGLC2, IGKC / IGLC3" in out
    assert anndata.read_h5ad(out_file).uns["sample_id"] == "s"
    assert run(capsys, "validate", "coregulation", out_file)[0] == 0
    code, _, err = run(capsys, "import-exclusion", PBMC, "-o", out_file)
    assert code == 2 and "there already" in err


def test_import_reporter(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out_file = str(tmp_path / "s.h5ad")
    code, out, err = run(capsys, "import-reporter", PBMC, "--target", "MS4A1", "-o", out_file)
    assert (
        code == 2
        and out == ""
        and "To add eGFP" in err
        and err.splitlines()[-1].startswith("error: no gene is the reporter")
    )
    code, _, err = run(capsys, "import-reporter", PBMC, "-o", out_file)
    assert code == 2 and "no target gene was given" in err
    assert not Path(out_file).exists()
    code, out, _ = run(
        capsys, "import-reporter", PBMC, "--target", "CD79A", "--reporter", "CD79B", "--json", "-o", out_file
    )
    done: dict[str, Any] = json.loads(out)
    assert code == 0 and done["path"] == out_file and done["pairs"][0]["gene_b"] == "CD79A"
    assert read_pairs(anndata.read_h5ad(out_file).uns)[0].gene_a == "CD79B"


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with serving({"a.h5ad": b"x"}) as hub:
        fetch("someone/some-data", out=tmp_path, endpoint=hub.endpoint, progress=True)
    assert capsys.readouterr().err == ""
