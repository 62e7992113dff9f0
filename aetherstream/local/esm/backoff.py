"""The delay before a batch is tried again.

AWS documents that retries are spaced out, not by which curve. This one is ours, set so that the one thing observed
holds: a record of at most 60 s age whose function fails at once is invoked 8 times (after 0, 1, 3, 7, 15, 27, 39 and
51 s).
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential from `base` seconds by a factor of 2 up to `cap`, each delay varied by at most `jitter` of itself."""

    base: float = 1.0
    cap: float = 12.0
    jitter: float = 0.04

    def delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after this many failures in a row (1 or more)."""
        exponent = min(failures - 1, 62)
        return min(self.cap, self.base * 2.0**exponent) * (1 + self.jitter * (2 * rng.random() - 1))
