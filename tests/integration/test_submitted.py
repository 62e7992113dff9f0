"""The deployed loader through the Redshift Data API: every event is one row, also where a load outlasts its loader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherstream.loader.memory import from_item, memory_key
from aetherstream.local.stack import Stack
from tests.integration.conftest import PARAMETERS as QUICK
from tests.integration.ground import until
from tests.integration.loading import PARAMETERS, Loading
from tests.integration.test_loads import events, ids

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The template with a stand-in for Redshift and its Data API; tables are made at the deployment."""
    submitted = {"PipelineFile": "pipelines/drill/submitted.yaml", "RedshiftApplyAtDeploy": "true"}
    with Stack(
        project / "template.yaml",
        state=tmp_path_factory.mktemp("submitted"),
        stack_name="aetherstream-submitted",
        parameters={**QUICK, **PARAMETERS, **submitted},
        opensearch=False,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def loading(stack: Stack) -> Loading:
    assert stack.warehouse is not None, stack.warehouse_missing
    return Loading(stack, stack.warehouse)


def running(loading: Loading) -> bool:
    """Whether a load of the newest is noted as submitted, which is the first of the two tables."""
    key = {"pk": {"S": memory_key("drill", "newest")}}
    table = loading.stack.outputs["ProgressTableName"]
    found = loading.stack.clients.get("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)
    run = from_item(found["Item"]).running if "Item" in found else None
    return run is not None and run.statement != ""


def test_every_event_is_a_row_and_the_newest_of_a_key_is_the_only_one(loading: Loading) -> None:
    put = loading.ground.put_keyed(events("flow", 300))
    put += loading.ground.put_keyed(events("flow", 300, 300))
    loading.stack.drain(180)
    assert loading.rows("flow") == loading.archived("flow") == ids(put)
    assert loading.newest("flow") == [[599, 299.5]]
    assert sum(rows for *_, rows in loading.ledger("flow")) == 600


def test_a_poisonous_object_is_set_aside_and_the_others_are_loaded(loading: Loading) -> None:
    put = ids(loading.ground.put_keyed(events("poison", 40)))
    loading.stack.drain(60, loads=False)
    bad = loading.stage("poison", 7, {"_event_id": "hand:1:0", "part": "poison", "n": 2**40})
    loading.stack.drain(180)
    assert loading.rows("poison") == put
    assert {key: state for key, state, _ in loading.ledger("poison")}[bad.key] == "failed"


def test_a_load_goes_on_when_its_loader_is_killed_and_the_next_one_hears_of_it(loading: Loading) -> None:
    loading.hide(10)
    with loading.connected() as held, held.cursor() as cursor:
        cursor.execute("LOCK public.aetherstream_turns")
        put = ids(loading.ground.put_keyed(events("killed", 60)))
        loading.stack.drain(60, loads=False)
        until(lambda: running(loading), "a load is submitted")
        loading.kill()
        held.rollback()
    until(lambda: loading.newest("killed") == [[59, 29.5]], "the load has gone on")
    loading.stack.wait_for_loads(180)
    loading.hide(5400)
    assert loading.rows("killed") == loading.archived("killed") == put
    assert {state for _, state, _ in loading.ledger("killed")} == {"loaded"}
