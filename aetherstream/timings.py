"""How long the steps of a batch take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timings(dict[str, float]):
    """Seconds by step; a step that runs several times adds up."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the seconds that the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self[name] = self.get(name, 0.0) + time.perf_counter() - started
