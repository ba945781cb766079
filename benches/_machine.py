"""Run a snippet in a process of its own, and say what it cost."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass

PRELUDE = """
import json, sys
from corpuscle.benchmarks._measure import Cost
def report(cost, **fields):
    print("@@" + json.dumps({"seconds": cost.seconds, "peak_mib": cost.peak_mib} | fields))
"""


@dataclass
class Cost:
    """Wall seconds, and peak memory above what was resident when the work began, in MiB."""

    seconds: float
    extra_mib: float
    fields: dict


def run(snippet: str, *args: str) -> Cost:
    """Run ``snippet``, which measures its work with ``Cost`` and calls ``report(cost, ...)`` once at its end."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + snippet, *args],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ.copy(),
    )
    fields = json.loads(next(line[2:] for line in done.stdout.splitlines() if line.startswith("@@")))
    return Cost(fields["seconds"], fields["peak_mib"], fields)


def machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
