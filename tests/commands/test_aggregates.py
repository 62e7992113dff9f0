"""`aetherstream aggregates` on a stack in memory."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from aetherstream.commands.aggregates import aggregates
from aetherstream.compose import core_of, quarantine_of
from aetherstream.compose_aggregates import aggregation_of, declarations_of
from aetherstream.compose_states import commits_for
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.places import Address, begun_address, mark_address
from aetherstream.delivery.aggregates.statements import window_text
from aetherstream.delivery.ledger import Ledger
from aetherstream.engine import Engine
from aetherstream.errors import UsageError
from aetherstream.testing.builders import SHARD, kinesis_records
from aetherstream.testing.states import MemoryStates, MemoryWindows
from aetherstream.testing.stores import InlineExecutor
from tests.commands.stack import ARN, Dynamo, MemoryStack

PIPELINE = """\
pipeline: p
event_time: {field: t, format: epoch_s}
sinks: {archive: {s3: {bucket: data, prefix: p/archive}}}
quarantine: {s3: {bucket: data, prefix: p/quarantine}}
aggregates:
  sums:
    group_by: [carrier]
    window: {tumbling: 1h}
    outputs: {flights: count, delay: {kind: sum, of: n, unusable: reject}}
  visits:
    group_by: [carrier]
    window: {session: 30m}
    outputs: {flights: count}
"""


class Table(Dynamo):
    """The progress table, and the state table as far as it is read."""

    def __init__(self, stack: AggregatedStack) -> None:
        super().__init__(stack.progress)
        self._stack = stack

    def query(self, *, ExpressionAttributeValues: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803
        pk = ExpressionAttributeValues[":pk"]["S"]
        prefix = ExpressionAttributeValues.get(":sk", {"S": ""})["S"]
        below = ExpressionAttributeValues.get(":upto", {"S": "~"})["S"]
        found = [item for item in self._items() if item["pk"]["S"] == pk]
        kept = [item for item in found if item["sk"]["S"].startswith(prefix) and item["sk"]["S"] < below]
        return {"Items": sorted(kept, key=lambda item: str(item["sk"]["S"]))}

    def batch_get_item(self, *, RequestItems: Any) -> dict[str, Any]:  # noqa: N803
        [(table, asked)] = RequestItems.items()
        wanted = [Address(key["pk"]["S"], key["sk"]["S"]) for key in asked["Keys"]]
        marks = {mark_address(place): mark for place, mark in self._stack.windows.closed.items()}
        return {
            "Responses": {
                table: [
                    {"pk": {"S": at.pk}, "sk": {"S": at.sk}, "states_expire": {"N": str(mark.expires)}}
                    for at, mark in marks.items()
                    if at in wanted
                ]
            }
        }

    def _items(self) -> list[dict[str, Any]]:
        states = [
            {
                "pk": {"S": item.address.pk},
                "sk": {"S": item.address.sk},
                "window": {"S": window_text(item.place.key.window)},
                "group": {"S": item.place.key.group},
                "k": {"N": str(item.state.k)},
                "acc": {"B": item.state.acc},
            }
            for item in self._stack.states.items.values()
        ]
        begun = []
        for place, shard in self._stack.windows.begun:
            at, window = begun_address(place, shard), place.window
            assert window is not None
            bounds = {"start": {"N": f"{window.start:.0f}"}, "end": {"N": f"{window.end:.0f}"}}
            begun.append({"pk": {"S": at.pk}, "sk": {"S": at.sk}, "shard": {"S": shard}, **bounds})
        return [*states, *begun]


class AggregatedStack(MemoryStack):
    """Plays a stack with a table of states and a closer."""

    def __init__(self, folder: Path, pipeline: str) -> None:
        super().__init__(folder, pipeline)
        self.states, self.windows = MemoryStates(), MemoryWindows()
        self.outputs = {**self.outputs, "StateTableName": "states", "CloserFunctionName": "closer"}
        self.answer: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []

    def variables(self) -> dict[str, str]:
        """See `Deployed`."""
        return {"AETHERSTREAM_PIPELINE": str(self._path)}

    def client(self, service: str, **more: Any) -> Any:
        return Table(self) if service == "dynamodb" else super().client(service, **more)

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "closer"
        self.asked.append(json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())}

    def flights(self, *events: tuple[str, float, object], first: int = 100, shard: str = SHARD) -> None:
        """Carrier, time, delay."""
        declarations = declarations_of(self.pipeline)
        stores = Stores(self.states, self.windows)
        commits = commits_for(self.pipeline, declarations, stores, self.objects, self.objects, lambda: 1e9)
        engine = Engine(
            "p",
            core_of(self.pipeline, self._tables, {}),
            store=self.objects,
            ledger=Ledger(self.progress, "process"),
            quarantine=quarantine_of(self.pipeline),
            aggregation=aggregation_of(self.pipeline, declarations, commits),
            executor=InlineExecutor(),
            version=lambda: "v1",
        )
        payloads = [{"carrier": carrier, "t": time, "n": delay} for carrier, time, delay in events]
        batch = kinesis_records(payloads, first=first, shard=shard, stream=ARN)
        assert engine.process(batch, lambda: 900.0).failed_from is None


OTHER = "shardId-000000000001"


@pytest.fixture
def stack(tmp_path: Path) -> AggregatedStack:
    made = AggregatedStack(tmp_path, PIPELINE)
    made.flights(("AA", 10, 5), ("AA", 20, 7), ("UA", 30, 1), ("AA", 3700, 2))
    made.flights(("AA", 40, 100), shard=OTHER)
    return made


def call(stack: AggregatedStack, name: str, *arguments: str) -> Result:
    command: click.Command = aggregates.commands[name]
    return stack.call(command, *arguments)


def lines(stack: AggregatedStack, name: str, *arguments: str, exit_code: int = 0) -> list[str]:
    result = call(stack, name, *arguments)
    assert result.exit_code == exit_code, (result.output, result.exception)
    return result.output.splitlines()


# -- show --------------------------------------------------------------------------------------------------------------


def test_show_tells_the_watermark_what_holds_it_and_the_open_windows(stack: AggregatedStack) -> None:
    stack.kinesis.put([{"n": 2}], ["140"])
    shown = lines(stack, "show")
    assert shown == [
        f"{SHARD}: event time 1970-01-01T01:01:40Z committed, holds the watermark back",
        "watermark: 1970-01-01T01:01:40Z",
        "sums: tumbling windows of 60 min by carrier, lateness 0 s, emitted on updates",
        "  1970-01-01T00:00:00Z to 1970-01-01T01:00:00Z: 2 shards",
        "  1970-01-01T01:00:00Z to 1970-01-01T02:00:00Z: 1 shard",
        "visits: sessions with gaps of 30 min by carrier, lateness 0 s, emitted on updates",
        shown[6],
    ]
    assert shown[6].startswith("  sessions: 2 groups, ")


def test_show_of_one_aggregate_tells_groups_and_bytes(stack: AggregatedStack) -> None:
    [told] = [json.loads(line) for line in lines(stack, "show", "sums", "--json")][:1]
    size = sum(
        len(item.state.acc)
        for item in stack.states.items.values()
        if item.place.key.window is not None and item.place.key.window.start == 0
    )
    assert told == {
        "aggregate": "sums",
        "window": "1970-01-01T00:00:00Z",
        "end": "1970-01-01T01:00:00Z",
        "shards": [SHARD, OTHER],
        "groups": 2,
        "items": 3,
        "bytes": size,
    }


def test_show_merges_the_results_of_a_window_over_the_shards(stack: AggregatedStack) -> None:
    shown = lines(stack, "show", "sums", "--window", "1970-01-01T00:30:00Z")
    assert shown == [
        '1970-01-01T00:00:00Z ["AA"]: flights 3, delay 112 (2 shards)',
        '1970-01-01T00:00:00Z ["UA"]: flights 1, delay 1 (1 shard)',
    ]


def test_show_of_a_group_tells_its_open_windows(stack: AggregatedStack) -> None:
    shown = lines(stack, "show", "sums", "--group", '["AA"]')
    assert [line[:26] for line in shown] == ['1970-01-01T00:00:00Z ["AA"', '1970-01-01T01:00:00Z ["AA"']


def test_show_tells_the_sessions_that_a_time_lies_in(stack: AggregatedStack) -> None:
    assert lines(stack, "show", "visits", "--window", "25", "--group", '["AA"]') == [
        '1970-01-01T00:00:10Z ["AA"]: flights 3 (2 shards)'
    ]


def test_show_of_a_window_without_states_says_so(stack: AggregatedStack) -> None:
    assert lines(stack, "show", "sums", "--window", "2001-01-01") == [
        "no state: nothing came, or its states were removed after closing"
    ]


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["--window", "0"], "name it"),
        (["sum"], "did you mean 'sums'"),
        (["sums", "--group", "AA"], "not JSON"),
        (["sums", "--group", '"AA"'], "write a JSON array"),
    ],
)
def test_show_refuses_what_it_does_not_understand(stack: AggregatedStack, arguments: list[str], cause: str) -> None:
    result = call(stack, "show", *arguments)
    assert isinstance(result.exception, UsageError)
    assert cause in str(result.exception)


# -- close -------------------------------------------------------------------------------------------------------------


def test_close_asks_the_closer_and_says_what_it_did(stack: AggregatedStack) -> None:
    stack.answer = {"state": "done", "windows": 2, "sessions": 1, "overdue": 0, "message": ""}
    assert lines(stack, "close", "--upto", "1970-01-01T02:00:00Z") == [
        "2 windows, 1 session closed up to 1970-01-01T02:00:00+00:00"
    ]
    assert stack.asked == [{"upto": "1970-01-01T02:00:00+00:00"}]


def test_close_ends_with_1_where_something_hindered_it(stack: AggregatedStack) -> None:
    stack.answer = {"state": "failed", "windows": 0, "overdue": 2, "message": "throttled"}
    shown = lines(stack, "close", "--upto", "0", exit_code=1)
    assert shown[1:] == ["2 windows still open: call it again", "throttled"]


def test_close_of_a_stack_without_aggregates_says_so(stack: AggregatedStack) -> None:
    stack.outputs = {}
    result = call(stack, "close", "--upto", "0")
    assert str(result.exception) == "the stack memory has no closer function: it has no aggregates"


# -- recompute ---------------------------------------------------------------------------------------------------------


def test_recompute_finds_states_that_are_as_the_archive_has_them(stack: AggregatedStack) -> None:
    span = "windows that begin from 1970-01-01T00:00:00Z to 1970-01-01T02:00:00Z"
    assert lines(stack, "recompute", "sums", "--window", "0", "--to", "7200") == [
        f"sums, {span}: 3 groups of 2 windows, from 5 events of 2 objects",
        "every group is as the archive has it",
    ]


def test_recompute_finds_sessions_as_the_archive_has_them(stack: AggregatedStack) -> None:
    shown = lines(stack, "recompute", "visits", "--window", "0", "--to", "7200")
    assert shown[-1] == "every group is as the archive has it"


def test_recompute_tells_a_difference_and_ends_with_1(stack: AggregatedStack) -> None:
    lost = next(at for at, item in stack.states.items.items() if item.place.key.group == '["UA"]')
    del stack.states.items[lost]
    shown = lines(stack, "recompute", "sums", "--window", "0", exit_code=1)
    assert shown[1:3] == [
        'DIFFERENT  1970-01-01T00:00:00Z ["UA"]: only the archive has it: {"flights": 1, "delay": 1}',
        "1 group different. What may lie behind it:",
    ]


def test_recompute_as_json_has_the_differences(stack: AggregatedStack) -> None:
    other = next(item for item in stack.states.items.values() if item.address.sk.split("#")[1] == OTHER)
    del stack.states.items[other.address]
    [told] = [json.loads(line) for line in lines(stack, "recompute", "sums", "--window", "0", "--json", exit_code=1)]
    assert (told["groups"], told["events"], told["differences"]) == (
        2,
        4,
        [
            {
                "window": "1970-01-01T00:00:00Z",
                "group": ["AA"],
                "outputs": ["flights", "delay"],
                "recomputed": {"flights": 3, "delay": 112},
                "stored": {"flights": 2, "delay": 12},
            }
        ],
    )


def test_recompute_leaves_out_what_stands_in_the_quarantine(stack: AggregatedStack) -> None:
    stack.flights(("AA", 50, "x"), first=300)
    shown = lines(stack, "recompute", "sums", "--window", "0")
    assert shown[1:] == [
        "1 event left out that an aggregate did not take: in the quarantine",
        "every group is as the archive has it",
    ]


def test_recompute_needs_a_sink_that_holds_events(stack: AggregatedStack) -> None:
    result = call(stack, "recompute", "sums", "--window", "0", "--sink", "archiv")
    assert "did you mean 'archive'" in str(result.exception)


def test_recompute_prints_what_the_archive_gives_on_request(stack: AggregatedStack) -> None:
    stack.states.items = {}
    told = [json.loads(line) for line in lines(stack, "recompute", "sums", "--window", "0", "--results")]
    assert [(each["group"], each["results"]) for each in told] == [
        (["AA"], {"flights": 3, "delay": 112}),
        (["UA"], {"flights": 1, "delay": 1}),
    ]
