"""The deployed loader: every event is one row in the end, whatever happens to loader, warehouse and messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherstream.local.stack import Stack
from tests.integration.commands import Commands
from tests.integration.conftest import PARAMETERS as QUICK
from tests.integration.ground import until
from tests.integration.loading import PARAMETERS, Loading

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The template with a stand-in for Redshift, deployed by sam; tables are made at the deployment."""
    with Stack(
        project / "template.yaml",
        state=tmp_path_factory.mktemp("loads"),
        stack_name="aetherstream-loads",
        parameters={**QUICK, **PARAMETERS, "RedshiftApplyAtDeploy": "true"},
        opensearch=False,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def loading(stack: Stack) -> Loading:
    assert stack.warehouse is not None, stack.warehouse_missing
    return Loading(stack, stack.warehouse)


@pytest.fixture
def commands(stack: Stack, tmp_path: Path) -> Commands:
    return Commands("aetherstream-loads", tmp_path, stack.environment)


def events(part: str, count: int, start: int = 0) -> list[tuple[str, object]]:
    """Events of a part, each with a partition key."""
    return [
        (f"k{n % 7}", {"part": part, "n": n, "weight": n / 2, "at": f"2026-01-{1 + n % 28:02}T00:00:00Z"})
        for n in range(start, start + count)
    ]


def ids(places: list[tuple[str, str]]) -> list[str]:
    """The event ids of the records that were put there."""
    return sorted(f"{shard}:{sequence}:0" for shard, sequence in places)


def test_the_deployment_has_made_the_tables(loading: Loading) -> None:
    assert (loading.rows("flow"), loading.newest("flow"), loading.ledger("flow")) == ([], [], [])


def test_every_event_is_a_row_and_the_newest_of_a_key_is_the_only_one(loading: Loading) -> None:
    put = loading.ground.put_keyed(events("flow", 300))
    put += loading.ground.put_keyed(events("flow", 300, 300))
    loading.stack.drain(120)
    assert loading.rows("flow") == loading.archived("flow") == ids(put)
    assert loading.newest("flow") == [[599, 299.5]]
    assert {state for _, state, _ in loading.ledger("flow")} == {"loaded"}
    assert sum(rows for *_, rows in loading.ledger("flow")) == 600
    # Manifests go when their load is over.
    assert [key for key in loading.ground.keys("drill/staging/") if ".manifests/" in key] == []


def test_objects_that_are_announced_again_are_not_loaded_again(loading: Loading) -> None:
    put = ids(loading.ground.put_keyed(events("again", 50)))
    loading.stack.drain(120)
    before = loading.ledger("again")
    loading.queue.announce(loading.staged("again"))
    loading.queue.announce(loading.staged("again"))
    loading.stack.drain(120)
    assert (loading.rows("again"), loading.ledger("again")) == (put, before)


def test_a_poisonous_object_is_set_aside_with_redshifts_own_words_and_the_others_are_loaded(
    loading: Loading, commands: Commands
) -> None:
    put = ids(loading.ground.put_keyed(events("poison", 40)))
    loading.stack.drain(60, loads=False)
    bad = loading.stage("poison", 7, {"_event_id": "hand:1:0", "part": "poison", "n": 2**40})
    good = loading.stage("poison", 8, {"_event_id": "hand:2:0", "part": "poison", "n": 8})
    loading.stack.drain(120)
    assert loading.rows("poison") == sorted([*put, "hand:2:0"])
    states = {key: state for key, state, _ in loading.ledger("poison")}
    assert (states[bad.key], states[good.key]) == ("failed", "loaded")
    [told] = commands.lines("redshift", "failures", "--sink", "rows")
    [failure] = told["failures"]
    assert failure["object"].endswith(bad.key)
    assert "line 1, column n" in failure["error"]


def test_a_message_that_announces_nothing_is_put_aside_with_the_reason(loading: Loading) -> None:
    outputs, sqs = loading.stack.outputs, loading.stack.clients.sqs
    sqs.send_message(QueueUrl=outputs["LoadQueueUrl"], MessageBody="hello")
    until(lambda: loading.stack.loads().dead, "the message is among the dead letters")
    [dead] = sqs.receive_message(QueueUrl=outputs["LoadDeadLetterQueueUrl"], MessageAttributeNames=["All"])["Messages"]
    assert (dead["Body"], dead["MessageAttributes"]["reason"]["StringValue"]) == ("hello", "it is not JSON")
    sqs.delete_message(QueueUrl=outputs["LoadDeadLetterQueueUrl"], ReceiptHandle=dead["ReceiptHandle"])
    assert loading.stack.loads().dead == 0


def test_a_loader_that_is_killed_in_its_transaction_leaves_nothing_and_the_next_one_loads(loading: Loading) -> None:
    loading.hide(10)
    with loading.connected() as held, held.cursor() as cursor:
        cursor.execute("LOCK public.aetherstream_turns")
        put = ids(loading.ground.put_keyed(events("killed", 60)))
        loading.stack.drain(60, loads=False)
        others = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        until(lambda: loading.asked(others) != [[0]], "a loader waits for its turn")
        loading.kill()
        held.rollback()
    loading.stack.wait_for_loads(120)
    loading.hide(5400)
    assert loading.rows("killed") == loading.archived("killed") == put


def test_a_warehouse_that_was_killed_in_mid_run_and_comes_back_has_every_event_once(loading: Loading) -> None:
    ended = threading.Event()
    put: list[tuple[str, str]] = []

    def produce() -> None:
        more = 6
        while more:
            put.extend(loading.ground.put_keyed(events("outage", 50, len(put))))
            more -= ended.wait(0.5)

    sender = threading.Thread(target=produce)
    sender.start()
    try:
        until(lambda: loading.rows("outage"), "the first rows are loaded")
        loading.server.kill()
    finally:
        ended.set()
        sender.join()
    # Nothing of the archive waits for the warehouse.
    loading.stack.drain(60, loads=False)
    assert loading.archived("outage") == ids(put)
    until(lambda: loading.stack.loads().taken, "a loader has met the outage")
    assert loading.stack.loads().total > 0
    loading.server.start()
    loading.stack.wait_for_loads(300)
    assert loading.rows("outage") == ids(put)
    assert loading.newest("outage") == [[len(put) - 1, (len(put) - 1) / 2]]
    assert loading.stack.loads().dead == 0
