"""The page in a real browser: it runs, sorts, fits a phone, and complains of nothing."""

from __future__ import annotations

import html as markup
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from corpuscle.report import Result

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the path"),
]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars", "--virtual-time-budget=4000",
]  # fmt: skip
#: A window cannot be as narrow as a phone, a frame can.
FRAME = """<!doctype html><iframe id="f" width="{width}" height="800" src="report.html#selftest"></iframe><script>
f.onload = () => {{ document.body.dataset.inner = f.contentDocument.documentElement.dataset.selftest; }};</script>"""


@pytest.fixture(scope="module")
def site(html: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a folder with the page, served on this machine only."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "report.html").write_text(html, encoding="utf-8")
    for width in (390, 1366):
        (folder / f"frame{width}.html").write_text(FRAME.format(width=width))
    handler = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profile")


def visit(address: str, profile: Path, *flags: str) -> str:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def selftest(dom: str, attribute: str) -> dict[str, object]:
    found = re.search(rf'{attribute}="([^"]*)"', dom)
    assert found, "the page's script did not run to its end"
    return dict(json.loads(markup.unescape(found[1])))


@pytest.mark.parametrize("width", [390, 1366])
def test_no_sideways_scrolling_and_no_faults(site: str, profile: Path, width: int) -> None:
    report = selftest(visit(f"{site}/frame{width}.html", profile), "data-inner")
    assert report == {"width": width, "needed": width, "faults": []}


def test_a_shared_address_restores_sort_view_sample_method_and_colours(
    site: str, profile: Path, result: Result
) -> None:
    state = (
        "sort=board:inflation_index:desc&view=z_robust&unit=pbmc_1k_v3 · Rorc_eGFP&method=sqrt&theme=dark&selftest=1"
    )
    dom = visit(f"{site}/report.html#{state.replace(' ', '%20')}", profile)
    assert selftest(dom, "data-selftest")["faults"] == []
    assert 'data-theme="dark"' in dom
    board = dom.split('<table id="board"')[1].split("</table>")[0]
    shown = re.findall(r'<th scope="row"[^>]*><span>([^<]*)', board)
    expected = result.leaderboard().sort_values("inflation_index", ascending=False)["method"]
    assert shown[:5] == list(expected[:5])
    assert re.search(r'data-key="inflation_index"[^>]*aria-sort="descending"', board)
    hidden = {
        key: "hidden" in rest
        for key, rest in re.findall(
            r'<th[^>]*data-key="(combined_percentile|allelic_exclusion_z_robust)"([^>]*)', board
        )
    }
    assert hidden == {"combined_percentile": True, "allelic_exclusion_z_robust": False}
    panels = re.findall(r'class="panel" data-panel="([^"]*)"([^>]*)', dom)
    assert [title for title, rest in panels if "hidden" not in rest] == ["pbmc_1k_v3 · Rorc_eGFP"]
    note = dom.split('class="note">')[1].split("<")[0]
    assert note.startswith("pbmc_1k_v3 · Rorc_eGFP, sqrt. r ")


def test_undefined_values_sort_last_in_both_directions(site: str, profile: Path) -> None:
    for direction in ("asc", "desc"):
        dom = visit(f"{site}/report.html#sort=percentiles:4:{direction}", profile)
        rows = dom.split('<table id="percentiles"')[1].split("<tbody>")[1].split("</table>")[0]
        assert re.findall(r'<th scope="row"[^>]*><span>([^<]*)', rows)[-1] == "cscore"


def test_the_script_draws_every_cell(site: str, profile: Path) -> None:
    dom = visit(f"{site}/report.html", profile)
    assert dom.split('<g class="dots">')[1].split("</g>")[0].count("<circle") == 170


def test_screenshot_is_not_blank(site: str, profile: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.png"
    visit(f"{site}/report.html", profile, "--window-size=1366,768", f"--screenshot={target}")
    assert target.stat().st_size > 40_000
