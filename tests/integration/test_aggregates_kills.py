"""The deployed functions killed in the middle of aggregates, and the commands that close windows and hold them up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from aetherstream.local.esm.settings import MappingSettings
from aetherstream.local.stack import Stack
from aetherstream.records import Event
from tests.integration.aggregating import DAY, Aggregating, aggregating_of, event, hourly, ranked, sessions, text
from tests.integration.commands import Commands
from tests.integration.flow import Flow, Polled
from tests.integration.ground import until
from tests.integration.state_faults import ALONE, HOLD, TOGETHER, Faulty, is_fold

pytestmark = pytest.mark.integration

PIPELINE = "pipelines/drill/aggregates.yaml"
NEXT_DAY = text(DAY + 86400)


@pytest.fixture
def faulty(stack: Stack) -> Iterator[Faulty]:
    with Faulty(stack.endpoint) as proxy:
        yield proxy
        proxy.release()


class Deployed:
    """Emitter and closer beside a stream function, and a stack that names all of them for the commands."""

    def __init__(self, stack: Stack, world: Aggregating, endpoint: str) -> None:
        self._stack, self._lambda = stack, stack.clients.lambda_
        variables = {**world.variables, "AETHERSTREAM_PIPELINE": PIPELINE, "AWS_ENDPOINT_URL": endpoint}
        name = world.ground.stream
        self.flow = Flow(stack, world.ground, pipeline=PIPELINE, variables=variables, endpoint=endpoint)
        self.emitter = self._function(f"{name}-emitter", "EmitterFunctionName", variables)
        self.closer = self._function(f"{name}-closer", "CloserFunctionName", variables)
        (properties,) = stack.deployment.table_mappings.values()
        settings = replace(
            MappingSettings.from_template(properties),
            stream_arn=world.table_stream,
            function_arn=self.emitter,
            batching_window=0,
        )
        self.emitting = Polled(stack, world.ground, settings)
        outputs = {
            "StreamName": name,
            "StreamArn": world.stream_arn,
            "BucketName": world.ground.bucket,
            "ProgressTableName": world.ground.table,
            "StateTableName": world.states,
            "FunctionAliasArn": self.flow.function_arn,
            "CloserFunctionName": f"{name}-closer",
        }
        template = {
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
            "Outputs": {key: {"Value": value} for key, value in outputs.items()},
        }
        formation = stack.clients.cloudformation
        formation.create_stack(StackName=name, TemplateBody=json.dumps(template))
        formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})

    def _function(self, name: str, output: str, variables: Mapping[str, str]) -> str:
        """A copy of a deployed function with other variables; its ARN."""
        deployed = self._lambda.get_function(FunctionName=self._stack.outputs[output])
        configuration = deployed["Configuration"]
        with urlopen(deployed["Code"]["Location"]) as package:  # noqa: S310 - the stack's own
            code = package.read()
        made = self._lambda.create_function(
            FunctionName=name,
            Runtime=configuration["Runtime"],
            Role=configuration["Role"],
            Handler=configuration["Handler"],
            Timeout=configuration["Timeout"],
            MemorySize=configuration["MemorySize"],
            Environment={"Variables": {**configuration["Environment"]["Variables"], **variables}},
            Code={"ZipFile": code},
        )
        return made["FunctionArn"]

    def remove(self) -> None:
        """End everything."""
        self.flow.stop()
        self.emitting.stop()
        for function in (self.emitter, self.closer):
            self._lambda.delete_function(FunctionName=function)


def some(hours: range, each: int, first: int = 0) -> list[Event]:
    """So many events of four parts in each hour."""
    return [
        event(part, 60 * hour + 5 * index + at, first + 100 * hour + 10 * index + at)
        for hour in hours
        for index in range(each)
        for at, part in enumerate("abcd")
    ]


@dataclass
class After:
    """A rule that holds requests once so many have passed."""

    passing: int
    held: Callable[[str, str, str], bool]

    def __call__(self, operation: str, path: str, body: str) -> str | None:
        if operation == TOGETHER:
            return ALONE
        if not self.held(operation, path, body):
            return None
        self.passing -= 1
        return HOLD if self.passing < 0 else None


def test_killed_functions_fold_and_emit_everything_once(stack: Stack, project: Path, faulty: Faulty) -> None:
    world = aggregating_of(stack.clients)
    deployed = Deployed(stack, world, faulty.url)
    commands, flow = Commands(world.ground.stream, project, stack.environment), deployed.flow

    def completion(operation: str, _: str, body: str) -> bool:
        return operation == "PutItem" and '"pending"' in body

    def fold(operation: str, _: str, body: str) -> bool:
        return is_fold(operation, body)

    def results(operation: str, path: str, _: str) -> bool:
        return operation == "PutObject" and "/drill/results/" in path

    def kill(before: int) -> None:
        until(lambda: faulty.held > before, "a request is held")
        flow.kill()
        faulty.obey(None)

    close = ("aggregates", "close", "--upto", NEXT_DAY)
    sent: list[Event] = []
    try:
        flow.start()
        # Between the objects and the commit, between the commit and the fold, and in the middle of the fold.
        for number, moment in enumerate([After(0, completion), After(0, fold), After(20, fold)]):
            before = faulty.held
            faulty.obey(moment)
            more = some(range(3), 3, 1000 * 4**number)
            world.put(more, "one shard")
            sent += more
            kill(before)
            progress = flow.drain()
            assert (progress.failed, world.stored("correcting")) == (number + 1, hourly(sent))

        # The closer, with some results sent and some windows closed.
        before = faulty.held
        faulty.obey(After(1, results))
        killed = commands.start(*close, "--json")
        kill(before)
        killed.communicate()
        assert killed.returncode != 0
        [done] = commands.lines(*close)
        assert (done["state"], done["overdue"], 0 < done["windows"] < 4 * 3) == ("done", 0, True)
        deployed.emitting.start().drain()
        assert world.final("correcting") == hourly(sent)

        # The emitter, as events come after closing.
        before = faulty.held
        faulty.obey(After(1, results))
        more = some(range(1), 2, 100_000)
        world.put(more, "one shard")
        sent += more
        kill(before)
        flow.drain()
        assert deployed.emitting.drain().failed > 0

        assert world.stored("correcting") == world.final("correcting") == hourly(sent)
        assert world.stored("visits") == world.final("visits") == sessions(sent)
        assert world.stored("busiest") == hourly(sent)
        assert world.ranks() == ranked(hourly(sent))
        # The archive has what was late there.
        assert (world.ground.dead(), set(world.unlike())) == ([], {"dropping"})
        whole = ("--window", text(DAY), "--to", NEXT_DAY)
        [told] = commands.lines("aggregates", "recompute", "correcting", *whole)
        assert (told["windows"], told["differences"]) == (3, [])
    finally:
        deployed.remove()
        world.close()
