"""The engine with aggregates: a warm function's second batch, so its groups are known and nothing is read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from aetherstream.app import engine_of
from aetherstream.compose import tables_of
from aetherstream.compose_aggregates import aggregation_of, declarations_of
from aetherstream.compose_states import commits_for
from aetherstream.decode import read_batch
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.ledger import Ledger
from aetherstream.engine import Engine
from aetherstream.pipeline import Pipeline, load
from aetherstream.report import Report
from aetherstream.testing.events import FIRST_SEQUENCE, kinesis_event
from aetherstream.testing.states import MemoryStates, MemoryWindows
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from bench import data

HERE = Path(__file__).parent
EARLIER = str(int(FIRST_SEQUENCE) - 10**15)


class Aggregating:
    """The engine and three aggregates, on stores in memory."""

    def __init__(self) -> None:
        self._pipeline = pipeline()
        self._first = kinesis_event(data.payloads(), arrival=data.START, first_sequence=EARLIER)
        self.report = Report()
        self.renew()

    def renew(self) -> None:
        """Begin with empty stores and a first batch, outside of what is measured."""
        self.states = MemoryStates()
        self._engine = self._made(self.states)
        self(self._first)

    def __call__(self, event: dict[str, Any]) -> int:
        self.report = self._engine.process(read_batch(event), lambda: 600.0)
        folded = [count.folded for count in self.report.aggregates.values()]
        if self.report.error or folded != [data.RECORDS] * 3:
            raise ValueError(f"the engine refused events: {self.report.error} {self.report.reasons} {folded}")
        return self.report.bytes

    def _made(self, states: MemoryStates) -> Engine:
        objects, declarations = MemoryObjects(), declarations_of(self._pipeline)
        commits = commits_for(
            self._pipeline, declarations, Stores(states, MemoryWindows()), objects, objects, lambda: data.START
        )
        return engine_of(
            self._pipeline,
            tables_of(self._pipeline, lambda uri: Path(uri).read_bytes()),
            store=objects,
            ledger=Ledger(MemoryProgress(), "bench"),
            aggregation=aggregation_of(self._pipeline, declarations, commits),
            executor=InlineExecutor(),
            secrets={},
        )


def pipeline() -> Pipeline:
    """What everything else is measured on, and the aggregates."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pipeline.yaml"
        path.write_text("\n".join((HERE / name).read_text() for name in ("pipeline.yaml", "aggregates.yaml")))
        return load(path, {})
