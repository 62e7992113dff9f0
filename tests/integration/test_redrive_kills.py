"""Dead letters with a record that kills, redriven by people and by the queue; two redrives at once; candidate files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from aetherstream.local.deployment import Deployment, describe, settle_mappings
from aetherstream.local.destinations import Destinations
from aetherstream.local.esm.actions import FunctionError, Invoke
from aetherstream.local.esm.settings import MappingSettings
from aetherstream.local.poller import Poller
from aetherstream.local.sam import Application, Sam
from aetherstream.local.shards import source_of
from aetherstream.local.stack import Stack
from tests.integration.conftest import PARAMETERS
from tests.integration.flow import DRILL, Flow
from tests.integration.ground import Ground, ground_deployed, until
from tests.integration.recovering import Recovering
from tests.integration.test_kills import hold_put_of
from tests.integration.test_recovery import GIVEN_UP_AT_ONCE

pytestmark = pytest.mark.integration

WHOLE = {"BisectBatchOnFunctionError": False}
FATAL = {"DRILL_STEP": "steps:fatal"}


def with_a_killer(size: int, at: int) -> list[dict[str, object]]:
    return [{"part": "ab"[n % 2], "n": n, **({"do": "kill"} if n == at else {})} for n in range(size)]


def kinesis_record(event_id: str) -> str:
    return event_id.rpartition(":")[0]


def test_a_letter_whose_record_kills_is_taken_apart_and_its_neighbours_arrive(
    stack: Stack, ground: Ground, tmp_path: Path
) -> None:
    ids = ground.put(with_a_killer(70, 33))
    flow = Flow(stack, ground, variables=FATAL, mapping=GIVEN_UP_AT_ONCE)
    with flow, Recovering(stack, ground, flow, tmp_path, FATAL) as recovery:
        flow.drain()
        assert (len(ground.dead()), ground.ids()) == (1, [])
        [done] = recovery.lines("dlq", "redrive", "--all", "--yes")
        assert (done["state"], done["report"]["reasons"]) == ("redriven", {"crashed: killed the process": 1})
        assert ground.ids() == ids[:33] + ids[34:]
        [envelope] = ground.quarantined()
        assert (envelope["id"], envelope["stage"]) == (kinesis_record(ids[33]), "crashed")
        [item] = ground.progress().values()
        assert (item.lease, item.suspects, item.redriven["archive.delivered"]) == (None, (), 69)
        assert [(place["state"]) for place in recovery.lines("dlq", "list", "--all")] == ["redriven"]

        recovery.deploy(DRILL_STEP="steps:keep")
        [back] = recovery.lines("quarantine", "replay", "--fingerprint", envelope["fingerprint"], "--yes")
    assert (back["state"], ground.ids()) == ("replayed", ids)


def test_of_two_redrives_at_once_the_second_is_told_who_holds_the_shard_or_waits(
    stack: Stack, ground: Ground, unreliable: Any, tmp_path: Path
) -> None:
    ids = ground.put([{"part": part, "n": n} for n, part in enumerate("abc")] + [{"do": "kill", "part": "a"}])
    flow = Flow(stack, ground, variables=FATAL, mapping=GIVEN_UP_AT_ONCE)
    with flow, Recovering(stack, ground, flow, tmp_path, {"AWS_ENDPOINT_URL": unreliable.url}) as recovery:
        flow.drain()
        call = ("dlq", "redrive", ground.dead()[0], "--yes")
        unreliable.obey(hold_put_of(ids[0]))
        first = recovery.start(*call)
        until(unreliable.fired, "the first redrive waits for S3")
        [told] = recovery.lines(*call, code=1)
        [item] = ground.progress().values()
        assert item.lease is not None
        assert (told["state"], told["who"]) == ("held", item.lease.owner)
        second = recovery.start(*call, "--wait", "300")
        assert second.stderr is not None
        assert second.stderr.readline().startswith(f"waiting: {item.key}: {item.lease.owner} redrives this shard")
        unreliable.obey()
        said = [process.communicate()[0].splitlines()[1].strip() for process in (first, second)]
    assert said == ["4 records = 4 delivered", "4 records = 4 delivered before"]
    assert ground.ids() == ids


def test_quarantined_records_are_delivered_through_a_candidate_file(
    stack: Stack, ground: Ground, tmp_path: Path
) -> None:
    ids = ground.put([{"part": "a", "weight": 4}, {"part": "a"}, {"part": "b"}])
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text(
        "pipeline: drill\n"
        "transforms: [{set: {half: 'coalesce(weight, 0) / 2'}}]\n"
        "sinks: {archive: {s3: {bucket: '${AETHERSTREAM_BUCKET}', partition: [{field: part}]}}}\n"
    )
    flow = Flow(stack, ground, variables={"DRILL_STEP": "steps:careless"})
    call = ("quarantine", "replay", "--pipeline", str(candidate))
    with flow, Recovering(stack, ground, flow, tmp_path, {"DRILL_STEP": "steps:careless"}) as recovery:
        flow.drain()
        [tried] = recovery.lines(*call)
        assert (tried["finished"], ground.ids()) == (2, ids[:1])
        [done] = recovery.lines(*call, "--yes")
        assert (done["state"], done["finished"], ground.ids()) == ("replayed", 2, ids)
        assert recovery.lines(*call, "--yes") == []
        [cause] = recovery.lines("quarantine", "list", "--all")
    assert (cause["waiting"], cause["replayed"], [event["half"] for event in ground.archived()]) == (0, 2, [2, 0, 0])


# With RedriveEnabled=true


class Redriving:
    """A stack of its own in the same emulator, whose queue calls the recovery function, for the drill pipeline."""

    def __init__(self, stack: Stack, project: Path) -> None:
        application = Application(project / "template.yaml", stack_name="aetherstream-redriving")
        parameters = PARAMETERS | {"RedriveEnabled": "true", "PipelineFile": DRILL, "ShardCount": "1"}
        Sam(application, stack.directory, parameters=parameters).deploy(stack.endpoint)
        settle_mappings(stack.clients)
        self.clients = stack.clients
        self.deployed: Deployment = describe(stack.clients, application.stack_name)
        self.ground = ground_deployed(stack.clients, "drill", self.deployed.outputs)

    def give_up(self) -> None:
        """Dead-letter what is on the stream, as a function would that never answers."""
        (properties,) = self.deployed.mappings.values()
        settings = MappingSettings.from_template({**properties, "MaximumRetryAttempts": 0, **WHOLE})

        def fails(invoke: Invoke) -> tuple[FunctionError, str]:
            return FunctionError(), f"{invoke.function_arn} does not answer"

        send = Destinations(self.clients)
        with Poller(settings, source=source_of(self.clients, settings.stream_arn), invoker=fails, send=send) as poller:
            poller.drain(60)

    def set_up(self, *, step: str, hidden: int) -> None:
        """Give the recovery function a step, and let the queue hide a message for so many seconds."""
        function = self.deployed.outputs["RecoveryFunctionName"]
        known = self.clients.lambda_.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        self.clients.lambda_.update_function_configuration(
            FunctionName=function, Environment={"Variables": known | {"DRILL_STEP": step}}
        )
        url = self.deployed.outputs["DeadLetterQueueUrl"]
        self.clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(hidden)})

    def messages(self) -> int:
        """How many messages are in the queue, hidden ones too."""
        names: Any = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        url = self.deployed.outputs["DeadLetterQueueUrl"]
        found = self.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def audit(self) -> list[tuple[str, str]]:
        """Who did what."""
        lines = [orjson.loads(written.body) for written in self.ground.objects("audit/day=")]
        return [(line["by"], line["result"]["state"]) for line in lines]


@pytest.fixture(scope="module")
def redriving(stack: Stack, project: Path) -> Iterator[Redriving]:
    made = Redriving(stack, project)
    yield made
    for name in ("RecoveryFunctionName", "FunctionName"):
        stack.clients.lambda_.delete_function(FunctionName=made.deployed.outputs[name])


def test_a_dead_letter_is_redriven_without_anybody_calling(redriving: Redriving) -> None:
    ids = redriving.ground.put([{"part": "a", "n": n} for n in range(5)])
    redriving.give_up()
    until(lambda: redriving.audit() == [("queue", "redriven")], "the queue's function has redriven the letter")
    until(lambda: not redriving.messages(), "the message is done")
    assert (redriving.ground.ids(), len(redriving.ground.dead())) == (ids, 1)


def test_a_letter_that_kills_the_queues_function_is_taken_apart_as_its_message_comes_again(
    redriving: Redriving,
) -> None:
    before = redriving.ground.ids()
    redriving.set_up(step="steps:fatal", hidden=1)
    ids = redriving.ground.put(with_a_killer(40, 7))
    redriving.give_up()
    until(lambda: redriving.audit()[1:] == [("queue", "redriven")], "the queue's function has redriven the letter")
    until(lambda: not redriving.messages(), "the message is done")
    assert redriving.ground.ids() == before + ids[:7] + ids[8:]
    assert [envelope["id"] for envelope in redriving.ground.quarantined()] == [kinesis_record(ids[7])]
