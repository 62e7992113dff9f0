"""The random schedules of `test_schedules` with rows staged beside the archive: both hold the same in the end."""

from __future__ import annotations

from typing import Any

import pytest

from aetherstream.recovery.held import Held
from aetherstream.recovery.redrive import Redriver
from aetherstream.sinks.base import ObjectSink
from aetherstream.sinks.redshift import RedshiftStaging
from aetherstream.sinks.s3 import by_field
from aetherstream.testing.builders import event_ids_of, lines, written
from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.types import ColumnType
from tests.recovery.test_schedules import SCHEDULES, Schedule

BLOCKS = 4
TABLE = Contract(
    table="t", columns=(Column("p", ColumnType("smallint")), Column("rest", ColumnType("super"))), unknown="rest"
)


class Staged(Schedule):
    """A shard's life with a sink that stages rows, without partitions in one version of the pipeline."""

    def sinks(self) -> list[ObjectSink]:
        partition = [by_field("q")] if self.version == "v1" else []
        staging = RedshiftStaging(
            "table", TABLE, bucket="data", prefix="staging", partition=partition, max_partitions=2
        )
        return [*super().sinks(), staging]

    def wrong(self) -> list[str]:
        staged, archived = (event_ids_of(written(self.bench.objects, "data", name)) for name in ("staging", "archive"))
        found = super().wrong()
        if staged != archived:
            found.append(f"staged are {staged}, archived {archived}")
        for key, stored in self.bench.objects.under("data", "staging/"):
            if stored.metadata["aether-count"] != str(len(lines(stored.body))):
                found.append(f"{key} says that it holds {stored.metadata['aether-count']} rows")
        return found


@pytest.mark.parametrize("block", range(BLOCKS))
def test_however_it_goes_rows_are_staged_of_what_is_archived(block: int) -> None:
    size = SCHEDULES // 2 // BLOCKS
    failed = {}
    for seed in range(block * size, (block + 1) * size):
        schedule = Staged(seed)
        schedule.run()
        if wrong := schedule.wrong():
            failed[seed] = "\n".join([*wrong, "", *schedule.log])
    assert [f"seed {seed}:\n{told}" for seed, told in failed.items()][:1] == []


class SeesNoRows(Redriver):
    """Takes rows for no events: stages again what is staged."""

    def _look_up(self, *arguments: Any) -> Held:
        held = super()._look_up(*arguments)
        held.events.pop("table", None)
        return held


def test_a_redriver_that_sees_no_rows_is_caught() -> None:
    schedules = [Staged(seed, SeesNoRows) for seed in range(50)]
    for schedule in schedules:
        schedule.run()
    assert any(schedule.wrong() for schedule in schedules)
