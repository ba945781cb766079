"""What a piece of work costs: wall seconds, and the highest memory above where it began."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import psutil

__all__ = ["Cost"]

SAMPLE_SECONDS = 0.01
MIB = 2**20


@dataclass
class Cost:
    """Context manager that fills ``seconds`` and ``peak_mib`` (resident memory, sampled every 10 ms)."""

    seconds: float = 0.0
    peak_mib: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def __enter__(self) -> Self:
        self._process = psutil.Process()
        self._base = self._peak = self._process.memory_info().rss
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._began = time.perf_counter()
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._began
        self._stop.set()
        self._watcher.join()
        self._sample()
        self.peak_mib = (self._peak - self._base) / MIB

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)
