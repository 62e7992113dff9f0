"""Mistakes in a pipeline, and a new version deployed while records flow."""

from __future__ import annotations

import re
import shutil
import threading
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest

from aetherstream.local.deployment import Deployment, describe, settle_mappings
from aetherstream.local.esm.settings import MappingSettings
from aetherstream.local.sam import Application, Sam
from aetherstream.local.stack import Stack
from tests.integration.conftest import PARAMETERS
from tests.integration.flow import Flow, Polled
from tests.integration.ground import Ground, ground_deployed, until

pytestmark = pytest.mark.integration


def test_a_bug_in_a_users_step_rejects_the_records_that_meet_it_and_no_others(stack: Stack, ground: Ground) -> None:
    ids = ground.put([{"part": "a", "weight": 4}, {"part": "a"}, {"part": "a", "weight": 6}])
    with Flow(stack, ground, variables={"DRILL_STEP": "steps:careless"}) as flow:
        progress = flow.drain()
    assert (progress.failed, ground.dead()) == (0, [])
    assert [(event["_event_id"], event["half"]) for event in ground.archived()] == [(ids[0], 2), (ids[2], 3)]
    (envelope,) = ground.quarantined()
    assert (envelope["id"], envelope["stage"]) == (ids[1], "transform")
    # The envelope leads to the line at fault.
    line = '`return {**event, "made_by": "careless", "half": event["weight"] / 2}`'
    assert re.fullmatch(
        rf"KeyError in pipelines.drill.steps:careless, steps.py line \d+: {re.escape(line)}: 'weight'",
        envelope["message"],
    )


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("stepz:keep", "there is no module 'pipelines.drill.stepz' beside it (did you mean 'steps'?)"),
        ("steps:kep", "pipelines.drill.steps has no function 'kep' (did you mean 'keep'?)"),
    ],
)
def test_a_step_that_cannot_be_imported_is_one_message_at_cold_start_and_loses_nothing(
    stack: Stack, ground: Ground, step: str, message: str
) -> None:
    ids = ground.put([{"part": "a"}, {"part": "b"}])
    with Flow(stack, ground, variables={"DRILL_STEP": step}) as flow:
        until(lambda: flow.poller.progress().failed, "the function has failed")
        assert message in flow.poller.progress().last_error
        assert ground.keys() == []
        flow.deploy(DRILL_STEP="steps:keep")
        flow.drain()
    assert (ground.ids(), ground.dead()) == (ids, [])


def test_a_new_version_that_places_events_otherwise_takes_over_a_killed_attempt(
    stack: Stack, ground: Ground, unreliable: Any
) -> None:
    ids = ground.put([{"part": "ab"[n % 2], "other": "xyz"[n % 3], "n": n} for n in range(12)])
    headers = {"x-amz-meta-aether-first": ids[1]}
    unreliable.obey({"service": "s3", "operation": "PutObject", "headers": headers, "timeout_ms": 600_000})
    with Flow(stack, ground, endpoint=unreliable.url) as flow:
        until(ground.in_mid_batch, "one of two objects stands")
        flow.deploy(DRILL_PARTITION="other")
        unreliable.obey()
        flow.kill()
        flow.drain()
    assert (ground.ids(), ground.dead()) == (ids, [])
    held = {written.partition for written in ground.objects("archive") if written.events}
    assert held == {"other=x", "other=y", "other=z"}
    # What the older version noted is empty now, and stays: a put of it that comes late meets a newer epoch.
    left = [written for written in ground.objects("archive") if written.partition.startswith("part=")]
    assert [(written.partition, written.events) for written in left] == [("part=a", []), ("part=b", [])]


class Versioned:
    """A stack of its own in the same emulator, deployed by sam again and again from a project that changes."""

    def __init__(self, stack: Stack, project: Path) -> None:
        self.stack = stack
        self.application = Application(project / "template.yaml", stack_name="aetherstream-versions")
        # Beside the shared stack's build, so that neither sees the other's.
        self.directory = stack.directory / "versions"

    def deploy(self, *, build: bool, **parameters: str) -> Deployment:
        given = PARAMETERS | {"PipelineFile": "pipelines/drill/careless.yaml", "ShardCount": "1"} | parameters
        sam = Sam(self.application, self.directory, parameters=given)
        if build:
            sam.build()
        sam.deploy(self.stack.endpoint)
        settle_mappings(self.stack.clients)
        return describe(self.stack.clients, self.application.stack_name)


@pytest.fixture(scope="module")
def versioned(stack: Stack, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Versioned:
    copy = tmp_path_factory.mktemp("versions") / "project"
    shutil.copytree(project, copy)
    return Versioned(stack, copy)


def test_a_fix_that_is_deployed_by_sam_while_records_flow_loses_and_repeats_nothing(
    stack: Stack, versioned: Versioned
) -> None:
    deployment = versioned.deploy(build=True)
    ground = ground_deployed(stack.clients, "drill", deployment.outputs)
    (properties,) = deployment.mappings.values()
    ids: list[str] = []
    stop = threading.Event()

    def produce() -> None:
        while not stop.wait(0.05):
            # Of two events, one meets the bug.
            ids.extend(ground.put([{"part": "a"}, {"part": "a", "weight": 2}]))

    sender = threading.Thread(target=produce)
    with Polled(stack, ground, MappingSettings.from_template(properties)) as polled:
        sender.start()
        try:
            until(lambda: ground.keys("drill/archive"), "the first version has written")
            file = versioned.application.directory / "pipelines" / "drill" / "careless.yaml"
            file.write_text(file.read_text().replace("steps:careless", "steps:careful"))
            versioned.deploy(build=True)
            until(lambda: ground.archived()[-1]["made_by"] == "careful", "the second version has written")
        finally:
            stop.set()
            sender.join()
        polled.drain()
    archived = ground.archived()
    refused = [
        envelope["id"] if envelope["sub"] is not None else f"{envelope['id']}:0" for envelope in ground.quarantined()
    ]
    assert sorted([event["_event_id"] for event in archived] + refused) == sorted(ids)
    assert ground.dead() == []
    # The older version first, then the newer: no event of the one behind one of the other.
    made_by = [event["made_by"] for event in archived]
    assert set(dropwhile(lambda version: version == "careless", made_by)) == {"careful"}
    # The bug's victims are those that only the older version saw.
    first = next(event["_event_id"] for event in archived if event["made_by"] == "careful")
    assert refused == [id_ for id_ in ids[::2] if ids.index(id_) < ids.index(first)]


def test_a_parameter_that_changes_alone_reaches_the_function_that_the_mapping_calls(
    stack: Stack, versioned: Versioned
) -> None:
    deployment = versioned.deploy(build=not versioned.directory.exists())
    versioned.deploy(build=False, DryRun="true")
    alias = stack.clients.lambda_.get_function_configuration(FunctionName=deployment.outputs["FunctionAliasArn"])
    assert alias["Environment"]["Variables"]["AETHERSTREAM_DRY_RUN"] == "true"
