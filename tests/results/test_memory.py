"""The outlet in memory holds to the contract, so that tests may rely on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aetherstream.errors import Retryable
from aetherstream.results.parts import Outlet
from aetherstream.testing.results import MemoryOutlet, OutletContract, OutletSubject


class Subject:
    def __init__(self) -> None:
        self._memory = MemoryOutlet()
        self.outlet: Outlet = self._memory

    def stored(self) -> Mapping[str, Mapping[str, Any]]:
        return self._memory.documents

    def take_down(self) -> None:
        self._memory.down = Retryable("it is down")

    def bring_up(self) -> None:
        self._memory.down = None


class TestMemory(OutletContract):
    def subject(self) -> OutletSubject:
        return Subject()
