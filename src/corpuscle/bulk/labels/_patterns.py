"""Regular expressions from files of others: only such as must come to an end soon.

Python's matcher goes back and tries again, and a short pattern can make it do so for years. The number of ways in which a
pattern can be tried from one place of a text is bounded here before it is used; together with the length of the
texts that bounds the time.
"""

from __future__ import annotations

import re
import warnings
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

from corpuscle.bulk.labels._text import CAP
from corpuscle.errors import OptionError

__all__ = ["compiled"]

#: Characters of a pattern.
LONGEST = 500
#: Ways to try a pattern from one place: two unlimited repeats one after the other, and what little can be beside them.
MOST_WAYS = 4 * CAP**2
_ONE_WAY = {
    _constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN, _constants.AT, _constants.RANGE,
    _constants.CATEGORY, _constants.NEGATE, _constants.FAILURE,
}  # fmt: skip
_REPEATS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT}


def compiled(pattern: str, where: str) -> re.Pattern[str]:
    """Compile a pattern, which matches in any case.

    Raises
    ------
    OptionError
        It is no regular expression, matches nothing at all or any text, or could take for ever.
    """
    advice = "write it without repeats inside repeats, repeated alternatives and back references, or as several rules"
    if len(pattern) > LONGEST:
        raise OptionError(
            f"{where}: the pattern has {len(pattern):,} characters, more than {LONGEST}; split it into rules"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ways = _ways(_parser.parse(pattern, re.IGNORECASE))
            if ways > MOST_WAYS:
                raise OptionError(f"{where}: matching {pattern[:80]!r} could take too long; {advice}")
            made = re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        raise OptionError(f"{where}: {pattern[:80]!r} is no regular expression ({error}); mend it") from None
    if made.search("") or made.search("\N{REPLACEMENT CHARACTER}"):
        raise OptionError(f"{where}: {pattern[:80]!r} matches any text; write a pattern that needs some word")
    return made


def _ways(nodes: Any) -> int:
    """Upper bound of the ways to match a sequence of parsed nodes from one place, no more than is of interest."""
    ways = 1
    for op, argument in nodes:
        ways = min(ways * _ways_of(op, argument), MOST_WAYS + 1)
    return ways


def _ways_of(op: Any, argument: Any) -> int:
    if op in _ONE_WAY:
        return 1
    if op in _REPEATS:
        least, most, body = argument
        return _repeated(_ways(body), int(least), min(int(most), 1 if _is_blank(body) else CAP))
    if op is _constants.BRANCH:
        return min(sum(_ways(branch) for branch in argument[1]), MOST_WAYS + 1)
    if op is _constants.SUBPATTERN:
        return _ways(argument[3])
    if op in {_constants.ASSERT, _constants.ASSERT_NOT}:
        return _ways(argument[1])
    return MOST_WAYS + 1  # back references, conditions, and what later versions of Python bring


def _repeated(ways: int, least: int, most: int) -> int:
    """Ways of ``least`` to ``most`` repeats of something that has so many ways itself."""
    if ways == 1:
        return max(most - least, 0) + 1
    total = 0
    for n in range(least, max(least, most) + 1):
        total += int(min(float(ways) ** min(n, 64), MOST_WAYS + 1))
        if total > MOST_WAYS:
            return MOST_WAYS + 1
    return total


def _is_blank(body: Any) -> bool:
    """Whether only blanks match; texts have no two of them in a row."""
    if len(body) != 1:
        return False
    op, argument = body[0]
    if op is _constants.IN:
        return all(_is_blank([item]) for item in argument)
    return (op is _constants.LITERAL and chr(argument) == " ") or (
        op is _constants.CATEGORY and argument is _constants.CATEGORY_SPACE
    )
