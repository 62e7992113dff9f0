"""The state table in the emulator's DynamoDB: conditions, queries over shards, expiry, and a throttled table."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from aetherstream.aggregates.partials import dump, load, merge_all, results
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.apply import Applied, Stores
from aetherstream.delivery.aggregates.changes import changed
from aetherstream.delivery.aggregates.closing import KEEP, close
from aetherstream.delivery.aggregates.commits import Commits, Logs
from aetherstream.delivery.aggregates.dynamodb import CLIENT, WORKERS, DynamoStates
from aetherstream.delivery.aggregates.places import sortable_end
from aetherstream.delivery.aggregates.results import Result, merged
from aetherstream.delivery.aggregates.state import Item, Mark, State, Write, Written
from aetherstream.delivery.aggregates.windows_dynamodb import DynamoWindows
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.local.ministack import MiniStack
from tests.delivery.aggregate_support import (
    HOURLY,
    NOW,
    SHARD,
    VISITS,
    WINDOW,
    partials,
    place,
    summed,
    window_place,
)
from tests.faults.bench import Microburst

pytestmark = pytest.mark.integration

OTHER = "shardId-000000000001"
THROTTLED = {
    "service": "dynamodb",
    "operation": "BatchExecuteStatement",
    "error": {"code": "ProvisionedThroughputExceededException", "status": 400},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack(tmp_path_factory.mktemp("ministack")) as ministack:
        yield ministack


class Ground:
    """A table and a bucket, and processes that work on them."""

    def __init__(self, stack: MiniStack) -> None:
        self._stack = stack
        self.name = f"states-{uuid4()}"
        self.dynamodb = self.client("dynamodb")
        self.dynamodb.create_table(
            TableName=self.name,
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.client("s3").create_bucket(Bucket=self.name)
        self.executor = ThreadPoolExecutor(WORKERS)

    def client(self, service: str, endpoint: str = "", config: Config | None = None) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=endpoint or self._stack.endpoint,
            region_name=self._stack.region,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106
            config=config,
        )

    def states(self, endpoint: str = "", *, batched: bool = True) -> DynamoStates:
        return DynamoStates(self.client("dynamodb", endpoint, CLIENT), self.name, self.executor, batched=batched)

    def windows(self) -> DynamoWindows:
        return DynamoWindows(self.dynamodb, self.name, self.executor)

    def stream(self) -> list[Any]:
        """What the table's stream has told so far."""
        streams = self.client("dynamodbstreams")
        arn = self.dynamodb.describe_table(TableName=self.name)["Table"]["LatestStreamArn"]
        records = []
        for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            start = streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )
            records += streams.get_records(ShardIterator=start["ShardIterator"])["Records"]
        return records

    def commits(self, endpoint: str = "", *, batched: bool = True) -> Commits:
        s3 = self.client("s3")
        return Commits(
            "flights#events",
            [HOURLY, VISITS],
            Stores(self.states(endpoint, batched=batched), self.windows()),
            Logs(S3Store(s3), S3Reader(s3), self.name, "logs"),
            now=lambda: NOW,
        )


@pytest.fixture
def ground(stack: MiniStack) -> Iterator[Ground]:
    made = Ground(stack)
    yield made
    made.executor.shutdown()


def write(group: str, read: int | None, k: int, shard: str = SHARD) -> Write:
    return Write(place(group), place(group).address(shard), read, State(k, b"%d" % k))


def item(group: str, k: int, shard: str = SHARD, expires: int | None = None) -> Item:
    return Item(place(group), place(group).address(shard), State(k, b"%d" % k), expires)


def test_only_the_first_write_without_an_item_goes_through(ground: Ground) -> None:
    states = ground.states()
    at = place("AA").address(SHARD)
    assert states.write([write("AA", None, 3)]) == Written()
    assert states.write([write("AA", None, 4)]) == Written(refused={at: State(3, b"3")})
    assert states.read([at]) == {at: State(3, b"3")}


def test_a_write_goes_through_where_the_commit_is_still_the_one_that_was_read(ground: Ground) -> None:
    states = ground.states()
    at = place("AA").address(SHARD)
    states.write([write("AA", None, 3)])
    assert states.write([write("AA", 3, 5)]) == Written()
    assert states.write([write("AA", 3, 6)]) == Written(refused={at: State(5, b"5")})
    assert states.group(place("AA")) == [item("AA", 5)]


def test_sessions_are_written_under_the_same_conditions(ground: Ground) -> None:
    states, visits = ground.states(), place("AA", VISITS)
    at = visits.address(SHARD)
    assert states.write([Write(visits, at, None, State(3, b"3"))]) == Written()
    assert states.write([Write(visits, at, None, State(4, b"4"))]) == Written(refused={at: State(3, b"3")})
    assert states.write([Write(visits, at, 2, State(4, b"4"))]) == Written(refused={at: State(3, b"3")})
    assert states.write([Write(visits, at, 3, State(4, b"4"))]) == Written()
    assert states.group(visits) == [Item(visits, at, State(4, b"4"))]


def test_writes_of_one_batch_have_ends_of_their_own(ground: Ground) -> None:
    states = ground.states()
    at = {group: place(group).address(SHARD) for group in ("new", "there", "same", "other", "gone")}
    states.write([write("there", None, 3), write("same", None, 3), write("other", None, 3)])
    written = states.write(
        [write("new", None, 5), write("there", None, 5), write("same", 3, 5), write("other", 2, 5), write("gone", 3, 5)]
    )
    assert written == Written(refused={at["there"]: State(3, b"3"), at["other"]: State(3, b"3"), at["gone"]: None})
    found = {
        group: state.k for group, address in at.items() for state in [states.read([address]).get(address)] if state
    }
    assert found == {"new": 5, "there": 3, "same": 5, "other": 3}


def test_a_write_on_an_item_that_is_gone_says_so(ground: Ground) -> None:
    at = place("AA").address(SHARD)
    assert ground.states().write([write("AA", 3, 5)]) == Written(refused={at: None})


@pytest.mark.parametrize("batched", [True, False])
def test_many_writes_and_reads_go_through(ground: Ground, *, batched: bool) -> None:
    states = ground.states(batched=batched)
    writes = [write(f"g{number}", None, number + 1) for number in range(250)]
    assert states.write(writes) == Written()
    assert states.read([each.address for each in writes]) == {each.address: each.state for each in writes}


def test_a_query_gives_every_shard_of_a_group_and_no_other_group(ground: Ground) -> None:
    states = ground.states()
    states.write([write("AA", None, 3), write("AA", None, 4, OTHER), *(write(f"g{n}", None, 1) for n in range(50))])
    assert states.group(place("AA")) == [item("AA", 3), item("AA", 4, OTHER)]
    assert states.group(place("AA", window=Window(7200, 10800))) == []


def test_a_window_is_read_group_by_group(ground: Ground) -> None:
    states = ground.states()
    groups = [f"g{number}" for number in range(60)]
    states.write([write(group, None, 1, shard) for group in groups for shard in (SHARD, OTHER)])
    states.write([Write(place("AA", VISITS), place("AA", VISITS).address(SHARD), None, State(1, b""))])
    found = {items[0].place: items for items in states.window(window_place())}
    assert found == {place(group): [item(group, 1), item(group, 1, OTHER)] for group in groups}


def test_large_states_are_read_over_several_pages(ground: Ground) -> None:
    states = ground.states()
    large = [
        Write(place("AA"), place("AA").address(f"s{number}"), None, State(number, bytes(380_000)))
        for number in range(4)
    ]
    assert states.write(large) == Written()
    assert [found.state.k for found in states.group(place("AA"))] == [0, 1, 2, 3]


def test_an_item_expires_only_as_it_was_read(ground: Ground) -> None:
    states = ground.states()
    states.write([write("AA", None, 3), write("UA", None, 3)])
    [aa], [ua] = states.group(place("AA")), states.group(place("UA"))
    states.write([write("UA", 3, 4)])
    assert states.expire([aa, ua], 17) == [ua]
    assert (states.group(place("AA")), states.group(place("UA"))) == ([item("AA", 3, expires=17)], [item("UA", 4)])


def test_a_later_fold_leaves_the_expiry_of_a_window_and_takes_that_of_sessions(ground: Ground) -> None:
    states, visits = ground.states(), place("AA", VISITS)
    at = visits.address(SHARD)
    states.write([write("AA", None, 3), Write(visits, at, None, State(3, b"3"))])
    states.expire([*states.group(place("AA")), *states.group(visits)], 17)
    states.write([write("AA", 3, 4), Write(visits, at, 3, State(4, b"4"))])
    assert [found.expires for found in (*states.group(place("AA")), *states.group(visits))] == [17, None]


def test_the_table_removes_items_by_their_expiry(ground: Ground) -> None:
    ground.dynamodb.update_time_to_live(
        TableName=ground.name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    told = ground.dynamodb.describe_time_to_live(TableName=ground.name)["TimeToLiveDescription"]
    assert told == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    states = ground.states()
    states.write([write("AA", None, 3)])
    states.expire(states.group(place("AA")), 17)
    [stored] = ground.dynamodb.scan(TableName=ground.name)["Items"]
    assert stored["expires"] == {"N": "17"}


def test_windows_are_begun_due_closed_and_settled(ground: Ground) -> None:
    windows, later = ground.windows(), window_place(Window(7200, 10800))
    scope = later.scope
    assert windows.begin([later, window_place()], SHARD) == {later, window_place()}
    assert windows.begin([window_place()], SHARD) == set()
    assert windows.begin([window_place()], OTHER) == {window_place()}
    assert (windows.due(scope, 7199.9), windows.due(scope, 7200.0)) == ({}, {WINDOW: [SHARD, OTHER]})
    assert list(windows.due(scope, 1e9)) == [WINDOW, later.window]
    assert windows.close(window_place(), 100, kept=200) == Mark(expires=100)
    assert windows.close(window_place(), 101, kept=201) == Mark(expires=100)
    windows.settle(window_place(), [SHARD, OTHER])
    assert windows.due(scope, 7200.0) == {}
    assert windows.marks([window_place(), later]) == {window_place(): Mark(expires=100)}


def test_the_floor_of_sessions_never_goes_back(ground: Ground) -> None:
    windows, sessions = ground.windows(), window_place(None, VISITS)
    for floor in (-10.5, 5.25, 3.0):
        windows.forget(sessions, floor)
    assert windows.marks([sessions]) == {sessions: Mark(floor=5.25)}


def test_windows_before_1970_are_due_too(ground: Ground) -> None:
    windows, old = ground.windows(), window_place(Window(-7200, -3600))
    windows.begin([old], SHARD)
    assert (windows.due(old.scope, -3600.5), windows.due(old.scope, -3600.0)) == ({}, {Window(-7200, -3600): [SHARD]})
    assert sortable_end(-3600) < sortable_end(0)


def test_a_missing_table_is_a_configuration_error(ground: Ground) -> None:
    states = DynamoStates(ground.dynamodb, "no-such-table", ground.executor)
    with pytest.raises(ConfigurationError, match="state table 'no-such-table': the table does not exist"):
        states.group(place("AA"))


def test_commits_of_two_shards_make_what_their_events_make(ground: Ground) -> None:
    rng = random.Random(7)
    processes, batches = [ground.commits(), ground.commits()], []
    for commit in range(1, 5):
        for shard in (SHARD, OTHER):
            rows = [(rng.choice("ABCDEF"), rng.randrange(3600, 9000), rng.randrange(100)) for _ in range(200)]
            batches.append(partials(rows) | partials(rows, VISITS))
            # The logs' objects are read by the other process, half of the time.
            pending = rng.choice(processes).log(shard, 10 * commit, commit, batches[-1])
            rng.choice(processes).fold(shard, pending)
            rng.choice(processes).fold(shard, pending)
    aggregates = {"hourly": HOURLY, "visits": VISITS}
    states = ground.states()
    for key, partial in merge_all(aggregates, batches).items():
        aggregate = aggregates[key.aggregate]
        items = states.group(processes[0].place(key))
        found = merge_all(aggregates, [{key: load(aggregate, each.state.acc)} for each in items])
        assert dump(aggregate, found[key]) == dump(aggregate, partial)


def test_a_throttled_table_is_retryable_and_nothing_is_folded_twice(ground: Ground, stack: MiniStack) -> None:
    first, second = (partials((f"g{n}", 3600, number) for n in range(100)) for number in (1, 2))
    with Microburst(stack.endpoint) as proxy:
        # The proxy takes seconds for its first call, longer than the store waits.
        ground.client("dynamodb", proxy.url).describe_table(TableName=ground.name)
        commits = ground.commits(proxy.url)
        commits.fold(SHARD, commits.log(SHARD, 1, 1, first))
        pending = commits.log(SHARD, 2, 2, second)
        # Four batches of 25, each tried thrice. Of 12 calls 9 fail: one batch at least goes through, and one does not.
        proxy.obey({**THROTTLED, "sequence": {"fail": 9, "pass": 1000}})
        with pytest.raises(Retryable, match="ProvisionedThroughputExceededException"):
            commits.fold(SHARD, pending)
        proxy.obey()
    states = ground.states()
    folded = [state.k for state in states.read([place(f"g{n}").address(SHARD) for n in range(100)]).values()].count(2)
    assert folded in (25, 50, 75)
    assert ground.commits().fold(SHARD, pending) == Applied(
        folded=100 - folded, had=folded, reads=100, writes=100 - folded
    )
    found = [merged(HOURLY, states.group(place(f"g{n}"))) for n in range(100)]
    assert [(results(HOURLY, each.accs), each.version) for [each] in found] == [(summed([1, 2]), 2)] * 100


def test_a_window_is_closed_over_all_its_shards(ground: Ground) -> None:
    commits, taken = ground.commits(), list[Result]()
    commits.fold(SHARD, commits.log(SHARD, 1, 1, partials([("AA", 3600, 1), ("UA", 3600, 2)])))
    commits.fold(OTHER, commits.log(OTHER, 1, 1, partials([("AA", 3700, 4)])))
    states, windows = ground.states(), ground.windows()
    [(window, shards)] = windows.due(window_place().scope, WINDOW.end).items()
    assert close(HOURLY, [(window_place(window), shards)], states, windows, taken.extend, now=NOW) == 2
    assert {each.key.group: (results(HOURLY, each.accs), each.version) for each in taken} == {
        '["AA"]': (summed([1, 4]), 2),
        '["UA"]': (summed([2]), 1),
    }
    assert {found.expires for found in states.group(place("AA"))} == {int(NOW) + KEEP}
    assert windows.due(window_place().scope, WINDOW.end) == {}
    assert commits.fold(SHARD, commits.log(SHARD, 2, 2, partials([("AA", 3600, 8)]))) == Applied(folded=1, writes=1)


def test_the_tables_stream_tells_of_the_groups_that_have_changed(ground: Ground) -> None:
    commits, states = ground.commits(batched=False), ground.states()
    both = partials([("AA", 3600, 1), ("UA", 3700, 1)]) | partials([("AA", 3600, 1)], VISITS)
    commits.fold(SHARD, commits.log(SHARD, 1, 1, both))
    told = ground.stream()
    assert set(changed(told)) == {place("AA"), place("UA"), place("AA", VISITS)}
    commits.fold(SHARD, commits.log(SHARD, 2, 2, partials([("UA", 3800, 1)])))
    states.expire(states.group(place("AA")), 17)
    assert changed(ground.stream()[len(told) :]) == [place("UA")]
