"""What is remembered of a load that goes on while no function runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from aetherstream.delivery.dynamodb import to_item as progress_item
from aetherstream.delivery.progress import Progress
from aetherstream.errors import ConfigurationError
from aetherstream.loader.data_api_sql import MOST_NAMED
from aetherstream.loader.memory import (
    DynamoLoadMemories,
    Fault,
    LoadMemory,
    Running,
    after_success,
    from_item,
    memory_key,
    to_item,
    with_faults,
)
from aetherstream.loader.parts import Detail, Staged
from aetherstream.local.environment import Clients
from aetherstream.local.ministack import MiniStack
from aetherstream.recovery.progress_view import ProgressTable
from aetherstream.warehouse.sql import ObjectRef
from tests.recovery.test_progress_view import Table

KEY = memory_key("flights", "warehouse")
RUNNING = Running(
    "load-1",
    "token",
    ObjectRef("data", "staging/warehouse.manifests/load-1.manifest"),
    (Staged("data", "staging/a", "etag", 3), Staged("data", "staging/ü", "etag", None)),
    1_763_719_200.25,
    "statement",
)
MEMORY = LoadMemory(
    KEY,
    revision=7,
    by="somebody",
    running=RUNNING,
    most=12,
    faults={
        "data/b": Fault(Detail("data/b", "too long", "origin", "char", 4), sure=True),
        "data/c": Fault(Detail("data/c", "no reason"), sure=False, again=True),
    },
)


@pytest.mark.parametrize(
    "memory",
    [
        MEMORY,
        LoadMemory(KEY, revision=1),
        replace(MEMORY, running=replace(RUNNING, statement="")),
        replace(MEMORY, faults={}),
    ],
    ids=["everything", "nothing", "not submitted", "no faults"],
)
def test_an_item_is_read_as_it_was_written(memory: LoadMemory) -> None:
    assert from_item(to_item(memory)) == memory


def test_fields_of_a_later_version_are_kept() -> None:
    stored = {**to_item(MEMORY), "later": {"S": "x"}}
    assert to_item(from_item(stored)) == stored


def test_the_largest_load_fits_an_item() -> None:
    """AWS: 400 KB."""
    keys = [f"staging/{uuid4().hex * 20}/{number}" for number in range(MOST_NAMED // 680)]
    objects = tuple(Staged("data", key, uuid4().hex, 10) for key in keys)
    item = to_item(replace(MEMORY, running=replace(RUNNING, objects=objects)))
    assert len(item["running"]["M"]["objects"]["B"]) < 300_000


def test_a_listing_of_shards_passes_it_over() -> None:
    progress = progress_item(Progress("flights#events#shardId-1", revision=1))
    table = ProgressTable(Table(to_item(MEMORY), progress), "progress")
    assert [view.shard for view in table.shards()] == ["shardId-1"]


def test_an_object_that_failed_alone_is_at_fault_when_it_fails_alone_again_after_others_loaded() -> None:
    detail = Detail("data/x", "why")
    once = with_faults(LoadMemory(KEY), {"data/x": detail}, sure=False)
    assert once == {"data/x": Fault(detail, sure=False)}
    twice = with_faults(LoadMemory(KEY, faults=once), {"data/x": detail}, sure=False)
    assert twice == once
    others = after_success(LoadMemory(KEY, faults=once), {"data/y"})
    assert others == {"data/x": Fault(detail, sure=False, again=True)}
    assert with_faults(LoadMemory(KEY, faults=others), {"data/x": detail}, sure=False) == {
        "data/x": Fault(detail, sure=True)
    }


def test_an_object_that_has_loaded_is_no_fault() -> None:
    assert after_success(MEMORY, {"data/b", "data/c"}) == {}


def test_the_latest_faults_are_kept_should_there_be_too_many() -> None:
    many = {f"data/{number}": Detail(f"data/{number}", "x" * 1000) for number in range(300)}
    kept = with_faults(MEMORY, many, sure=True)
    assert list(kept) == [f"data/{number}" for number in range(100, 300)]
    assert {len(fault.detail.message) for fault in kept.values()} == {500}


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    stack = MiniStack(tmp_path_factory.mktemp("ministack"))
    stack.start()
    try:
        yield Clients(stack.endpoint)
    finally:
        stack.stop()


@pytest.fixture
def store(clients: Clients) -> DynamoLoadMemories:
    name = f"progress-{uuid4()}"
    client = clients.get("dynamodb")
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return DynamoLoadMemories(client, name)


@pytest.mark.integration
def test_the_store_has_nothing_at_first_and_then_what_was_written(store: DynamoLoadMemories) -> None:
    assert store.read(KEY) == LoadMemory(KEY)
    first = replace(MEMORY, revision=1)
    assert store.write(first) is None
    assert store.read(KEY) == first


@pytest.mark.integration
def test_a_write_on_what_has_changed_gives_what_is_stored(store: DynamoLoadMemories) -> None:
    first, second = replace(MEMORY, revision=1), replace(MEMORY, revision=1, by="another")
    assert store.write(first) is None
    assert store.write(second) == first
    assert store.write(replace(second, revision=2)) is None
    assert store.write(replace(first, revision=2)) == replace(second, revision=2)


@pytest.mark.integration
def test_a_table_that_is_not_there_is_named(clients: Clients) -> None:
    store = DynamoLoadMemories(clients.get("dynamodb"), "nowhere")
    with pytest.raises(ConfigurationError, match="nowhere"):
        store.read(KEY)
    with pytest.raises(ConfigurationError, match="nowhere"):
        store.write(replace(MEMORY, revision=1))
