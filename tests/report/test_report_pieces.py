"""Numbers, axes, outlines and tables, apart from any benchmark."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.report import Axis, Cell, Cloud, Column, Lane, frame_table, histogram_path, lanes, scatter, table
from corpuscle.report._templates import embedded_json
from corpuscle.report.format import count, fixed, interval, megabytes, seconds, share, significant

finite = st.floats(-1e9, 1e9, allow_nan=False)


@given(value=finite)
def test_fixed_and_significant_read_back(value: float) -> None:
    back = float(fixed(value).replace("\N{MINUS SIGN}", "-"))
    assert abs(back - value) <= 0.00051 + abs(value) * 1e-12
    text = significant(value).replace("\N{MINUS SIGN}", "-").replace(",", "")
    assert float(text) == pytest.approx(value, rel=0.00501, abs=1e-300)


@pytest.mark.parametrize("write", [fixed, significant, count, share, seconds, megabytes])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_undefined_is_never_a_number(write: object, value: object) -> None:
    assert write(value) == "undefined"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (fixed(-0.0001), "0.000"), (fixed(-0.5), "−0.500"), (significant(1234.5), "1,234"), (seconds(0.0041), "4.1 ms"),
        (seconds(7.53), "7.5 s"), (seconds(412), "6.9 min"), (megabytes(0.004), "< 1 MiB"), (megabytes(1500), "1.5 GiB"),
        (interval(-0.1, 0.2), "−0.100 to 0.200"), (interval(float("nan"), 1.0), "no interval"), (share(1 / 3), "33%"),
    ],
)  # fmt: skip
def test_wording(text: str, expected: str) -> None:
    assert text == expected


@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=20), reference=st.none() | st.floats(-10, 10)
)
def test_axis_holds_its_values_in_order(values: list[float], reference: float | None) -> None:
    axis = Axis.around(values, reference=reference)
    assert axis.low < axis.high
    known = sorted(v for v in values if math.isfinite(v))
    places = [axis.at(v) for v in known]
    assert all(p is not None and 0 <= p <= 100 for p in places)
    assert places == sorted(places, key=float)
    assert len(axis.ticks()) <= 12
    assert axis.at(float("nan")) is None


@given(values=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=10))
def test_log_axis_ticks_lie_inside(values: list[float]) -> None:
    axis = Axis.around(values, log=True, reference=1.0)
    assert all(0 <= place <= 100 for place, _ in axis.ticks())
    assert axis.at(0.0) is None and axis.at(-1.0) is None


@given(values=st.lists(st.floats(-3, 3) | st.just(float("nan")), max_size=60))
def test_outline_is_closed_and_as_high_as_its_tallest_bin(values: list[float]) -> None:
    path = histogram_path(np.array(values), Axis(-1, 1))
    if not any(math.isfinite(v) for v in values):
        assert path == ""
        return
    assert path.startswith("M0 100") and path.endswith("Z")
    tops = [int(v) for v in re.findall(r"V(\d+)", path)]
    assert min(tops) == 0 and tops[-1] == 100


def test_a_message_takes_the_place_of_a_drawing() -> None:
    html = lanes([Lane("magic", message="undefined: <b>")], Axis(0, 1), caption="c")
    assert "undefined: &lt;b&gt;" in html and "drawing" not in html


def test_undefined_cells_sort_last_and_say_why() -> None:
    html = table(
        "t",
        "c",
        [Column("a", "A", numeric=False), Column("b", "B")],
        [[Cell("x", "x"), Cell("undefined", reason="no <cells>")]],
    )
    assert 'title="no &lt;cells&gt;"' in html
    assert html.count("data-sort") == 1, "a value that does not exist has nothing to sort by"


def test_frames_show_whole_numbers_whole_and_gaps_as_gaps() -> None:
    frame = pd.DataFrame({"n": [1500], "x": [0.25], "gap": [np.nan], "name": [None], "flag": [True]})
    html = frame_table("f", "c", frame, reasons={"gap": "never measured"})
    cells = re.findall(r"<(?:span|abbr)[^>]*>([^<]*)</(?:span|abbr)></t[hd]>", html)
    assert cells == ["1,500", "0.2500", "undefined", "undefined", "True"]
    assert 'title="never measured"' in html


def test_embedded_json_cannot_end_its_element() -> None:
    text = embedded_json({"a": "</script><!--\u2028\u2029&"})
    assert not set("<>&\u2028\u2029") & set(str(text))


def test_scatter_of_undefined_values_and_of_nothing() -> None:
    assert scatter("s", "c", [], topic="t") == ""
    nothing = np.full(3, np.nan)
    html = scatter("s", "c", [Cloud("u", "A", "B", ["1", "2", "3"], {"m": (nothing, np.arange(3.0))})], topic="t")
    assert "NaN" not in html and "nan" not in html


def test_large_catalogs_are_thinned_and_say_so() -> None:
    cells = [str(i) for i in range(1000)]
    values = {f"m{i}": (np.arange(1000.0), np.arange(1000.0)) for i in range(50)}
    html = scatter("s", "c", [Cloud(f"u{i}", "A", "B", cells, values) for i in range(10)], topic="t")
    assert "One in 3 of the stored cells is drawn" in html
    assert len(html) < 1_500_000
