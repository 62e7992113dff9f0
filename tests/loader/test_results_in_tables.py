# ruff: noqa: S608 - names of the tests' own
"""Results from the outlet to the table in the stand-in for Redshift, by both ways of merging and of asking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherstream.aggregates.windows import Window
from aetherstream.compose_loads import result_target_of
from aetherstream.delivery.s3 import S3Store
from aetherstream.errors import Retryable
from aetherstream.loader.parts import Staged, Warehouse
from aetherstream.local.redshift.data_api import LocalDataApi
from aetherstream.results.parts import Outlet, Row, Sent
from aetherstream.results.redshift import RedshiftOutlet
from aetherstream.testing.results import NEW_YEAR, OutletContract, row, shown, taken_back
from aetherstream.warehouse.ddl import Differences
from aetherstream.warehouse.options import LoadTarget
from aetherstream.warehouse.sql import Style
from tests.loader.data_api.bench import DataBench
from tests.loader.sql_bench import SECONDS, Bench
from tests.results.hours import declared, sink

pytestmark = pytest.mark.integration


class _Store(S3Store):
    """S3, which is not to be had on request."""

    fails: Exception | None = None

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /) -> None:
        if self.fails is not None:
            raise self.fails
        super().overwrite(bucket, key, body, metadata)


class Hours:
    """A table of results in a schema of its own."""

    number = 0

    def __init__(self, bench: Bench, style: Style = "merge", **more: Any) -> None:
        Hours.number += 1
        self.bench = bench
        self.name = f"hours_{Hours.number}"
        place = {"table": f"{bench.schema}.{self.name}", "prefix": f"staging/{bench.schema}/{self.name}"}
        made = result_target_of("hours", declared(to=place, **more), "warehouse", sink(bucket=bench.objects.bucket))
        asked = bench.target(made.contract, style=style)
        self.target: LoadTarget = replace(
            made, warehouse=asked.warehouse, copy_role=asked.copy_role, style=asked.style, objects=3
        )
        self._warehouse: Warehouse | None = None
        self._store = _Store(bench.objects.s3)
        self.outlet: Outlet = RedshiftOutlet(self.target, self._store)

    @property
    def warehouse(self) -> Warehouse:
        if self._warehouse is None:
            through = isinstance(self.bench, DataBench)
            self._warehouse = self.bench.through(self.target) if through else self.bench.warehouse(self.target)  # type: ignore[attr-defined]
            self._warehouse.apply(self._warehouse.compare(SECONDS), SECONDS)
        return self._warehouse

    def staged(self) -> list[Staged]:
        found = []
        for key in self.bench.keys(f"{self.target.staging.prefix}/"):
            head = self._store.head(self.target.staging.bucket, key)
            assert head is not None
            found.append(
                Staged(self.target.staging.bucket, key, head.etag.strip('"'), int(head.metadata["aether-count"]))
            )
        return found

    def load(self, *objects: Staged) -> None:
        self.warehouse.load(self.bench.load(*objects), SECONDS)

    def rows(self) -> list[dict[str, Any]]:
        """The table as it stands, by id."""
        names = [name for name in self.target.contract.names if name != "note"]
        chosen = ", ".join(f'"{name}"' for name in names)
        found = self.bench.run(
            f'SELECT {chosen}, JSON_SERIALIZE("note") FROM "{self.bench.schema}"."{self.name}" ORDER BY "id"'
        )
        return [
            {**dict(zip(names, each, strict=True)), "note": None if note is None else orjson.loads(note)}
            for *each, note in found
        ]

    def stored(self) -> Mapping[str, Mapping[str, Any]]:
        warehouse = self.warehouse
        for each in self.staged():
            warehouse.load(self.bench.load(each), SECONDS)
        return {each["id"]: _document(each) for each in self.rows() if not each["removed"]}

    def take_down(self) -> None:
        self._store.fails = Retryable("503 SlowDown")

    def bring_up(self) -> None:
        self._store.fails = None


def _document(found: Mapping[str, Any]) -> dict[str, Any]:
    times = {
        name: found[name].astimezone(UTC).isoformat().replace("+00:00", "Z") for name in ("window_start", "window_end")
    }
    made = {**found, **times}
    del made["removed"]
    return made


@pytest.fixture(params=["connection", "data_api"])
def any_bench(request: pytest.FixtureRequest, bench: Bench) -> Iterator[Bench]:
    """Asked by a connection, and through the Data API."""
    if request.param == "connection":
        yield bench
        return
    with LocalDataApi(bench.server) as through:
        made = DataBench(bench.server, bench.objects, bench.schema, through)
        yield made
        made.close()


class TestTable(OutletContract):
    """The contract of outlets, for what is found in the table."""

    @pytest.fixture(autouse=True)
    def _bench(self, bench: Bench) -> None:
        self.bench = bench

    def subject(self) -> Hours:
        return Hours(self.bench)


def session(start: float, last: float, version: int) -> Row:
    """A row of a session; of one start the later end has the greater version."""
    window = Window(NEW_YEAR + start, NEW_YEAR + last)
    found = row("AA", version, note={"last": f"N{version}"})
    return replace(found, id=f'hours/{window.id}/["AA"]', window=window)


@pytest.mark.parametrize("style", ["merge", "delete_insert"])
def test_a_session_that_a_late_event_united_is_a_tombstone(any_bench: Bench, style: Style) -> None:
    hours = Hours(any_bench, style)
    first, second, united = session(0, 60, 4), session(90, 150, 6), session(0, 150, 11)
    for sends in ([second], [united, taken_back(second, 11)], [first], [second]):
        assert hours.outlet.send(sends, SECONDS) == Sent()
    hours.load(*hours.staged())
    assert [(each["id"], each["version"], each["flights"], each["removed"], each["note"]) for each in hours.rows()] == [
        (united.id, 11, 11, False, {"last": "N11"}),
        (second.id, 11, None, True, None),
    ]
    assert hours.stored() == shown(united)
    assert hours.warehouse.compare(SECONDS) == Differences()


history = [*(row("AA", version) for version in (2, 4, 5)), taken_back(row("AA"), 7), row("UA", 3), row("UA", 8)]


@pytest.mark.parametrize("style", ["merge", "delete_insert"])
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(order=st.permutations(history), cuts=st.sets(st.integers(1, 5), max_size=3), draw=st.data())
def test_in_whatever_order_results_are_sent_and_loaded_the_newest_stay(
    any_bench: Bench, style: Style, order: Sequence[Row], cuts: set[int], draw: st.DataObject
) -> None:
    hours = Hours(any_bench, style)
    ends = [*sorted(cuts), len(order)]
    for start, end in zip([0, *ends], ends, strict=False):
        hours.outlet.send(order[start:end], SECONDS)
    staged = hours.staged()
    for each in draw.draw(st.permutations(staged + staged[:1])):
        hours.load(each)
    assert [(each["carrier"], each["version"], each["removed"]) for each in hours.rows()] == [
        ("AA", 7, True),
        ("UA", 8, False),
    ]


def test_an_output_that_the_file_has_later_is_a_new_column_and_what_was_loaded_stays(bench: Bench) -> None:
    hours = Hours(bench)
    hours.outlet.send([row("AA", 3)], SECONDS)
    hours.load(*hours.staged())
    outputs = {"flights": "count", "delay": {"kind": "mean", "of": "x"}, "note": {"kind": "last", "of": "note"}}
    later = Hours(bench, outputs=outputs | {"planes": {"kind": "distinct", "of": "tail"}})
    contract = replace(later.target.contract, table=hours.name)
    found = bench.warehouse(replace(hours.target, contract=contract)).compare(SECONDS)
    assert ([change.text for change in found.changes], found.refusals) == (["add column planes bigint"], [])
