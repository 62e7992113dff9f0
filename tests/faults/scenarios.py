"""The faults: what is injected, and what else happens while the records flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.bench import RATE, Bench, Microburst, Timed
from tests.faults.wire import Spoil
from tests.integration.ground import Ground, until

HOUR = 3600.0
DRILL = "pipelines/drill/drill.yaml"
IDENTIFIED = "pipelines/drill/identified.yaml"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a scenario's `during` has at hand while a sender puts records and a mapping reads them."""

    bench: Bench
    ground: Ground
    flow: Timed
    proxy: Microburst
    times: int
    """How often it is to be done."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row of the table. What `rules` and `spoils` say is in force from the first record to the last."""

    name: str
    fault: str
    """What is injected, for a reader."""
    unit: str
    """What `injected` counts."""
    rules: tuple[Mapping[str, Any], ...] = ()
    """What microburst does to calls."""
    spoils: tuple[Spoil, ...] = ()
    """What the proxy of `wire.py` does to requests."""
    during: Callable[[Scene], int] | None = None
    """Runs while the records flow; returns how many faults it injected itself."""
    times: int = 1
    at_least: int = 1
    """So many faults must have been injected, or the run proves nothing."""
    producer: str = "direct"
    """By which way the producer reaches Kinesis: direct, microburst, wire, or partial (the proxy of `partial.py`)."""
    killers: int = 0
    """How many records kill the process that runs the step on them."""
    pipeline: str = DRILL
    variables: Mapping[str, str] = field(default_factory=dict)
    batch: int = 50
    """Records of a batch at most: small, so that a run has many attempts."""
    most: int | None = None
    """Records at most, where each costs long."""
    mapping: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the event source mapping that differ from the deployed ones."""
    resends: bool = False
    """Whether the producer must have sent something twice."""
    in_suite: bool = True
    """Whether `make test` runs it; the others, of which tests/integration has a short form, only `make faults`."""


def refuse(service: str, code: str, status: int, **more: Any) -> dict[str, Any]:
    """A rule by which a service answers with an error."""
    return {"service": service, "error": {"code": code, "status": status}, **more}


def kill(scene: Scene) -> int:
    """Kill the function whenever an attempt has put some of its objects and not the others."""
    return _in_mid_batch(scene, scene.flow.kill)


def restart(scene: Scene) -> int:
    """Restart the whole stack while a batch is in its middle."""
    return _in_mid_batch(scene, scene.bench.restart)


def _in_mid_batch(scene: Scene, strike: Callable[[], None]) -> int:
    struck: set[tuple[str, int]] = set()

    def unstruck() -> set[tuple[str, int]]:
        return scene.ground.in_mid_batch() - struck

    for _ in range(scene.times):
        until(unstruck, "an attempt is in its middle")
        struck |= scene.ground.in_mid_batch()
        strike()
    return scene.times


def outage(service: str, code: str, status: int) -> Callable[[Scene], int]:
    """Refuse every call to a service until the mapping's clock is an hour on."""

    def during(scene: Scene) -> int:
        # Some records are through before, so that warm functions meet it.
        until(lambda: scene.flow.poller.progress().finished, "records have been processed")
        scene.proxy.obey(refuse(service, code, status))
        until(scene.proxy.injected, "the outage has begun")
        end = scene.flow.clock() + HOUR
        scene.flow.clock.run_at(HOUR / 12)
        until(lambda: scene.flow.clock() >= end, "an hour has passed")
        scene.flow.clock.run_at(RATE)
        scene.proxy.obey()
        return 0

    return during


SLOW_PUTS: dict[str, Any] = {
    "service": "s3",
    "operation": "PutObject",
    "latency": {"min": 0, "max": 1000},
    "times": 150,
}
"""The objects of an attempt come one after the other, so that it can be seen in its middle."""

SCENARIOS = (
    Scenario(
        "s3-slow-down",
        "S3 answers PutObject with `SlowDown` (503) in bursts: 30 calls in a row, then 60 go through",
        "answers",
        (refuse("s3", "SlowDown", 503, operation="PutObject", sequence={"fail": 30, "pass": 60}),),
        at_least=30,
    ),
    Scenario(
        "s3-500",
        "S3 answers every operation with `InternalError` (500) in bursts: 30 calls in a row, then 60 go through",
        "answers",
        (refuse("s3", "InternalError", 500, sequence={"fail": 30, "pass": 60}),),
        at_least=30,
        in_suite=False,
    ),
    Scenario(
        "s3-reset-in-upload",
        "the connection is reset when half of an object has got through: one of five puts",
        "resets",
        spoils=(Spoil("upload", "PutObject", 5),),
        at_least=10,
    ),
    Scenario(
        "s3-lost-answers",
        "S3 stores the object, and the answer is lost: one of three puts that S3 takes",
        "answers",
        spoils=(Spoil("answer", "PutObject", 3),),
        at_least=15,
        in_suite=False,
    ),
    Scenario(
        "s3-time-out",
        "S3 does not answer a put at all; the function's client gives up after 5 s",
        "calls held",
        ({"service": "s3", "operation": "PutObject", "sequence": {"fail": 4, "pass": 200}, "timeout_ms": 600_000},),
        at_least=4,
    ),
    Scenario(
        "dynamodb-throttled",
        "DynamoDB throttles PutItem in bursts: 6 calls in a row, then 6 go through",
        "answers",
        (
            refuse(
                "dynamodb",
                "ProvisionedThroughputExceededException",
                400,
                operation="PutItem",
                sequence={"fail": 6, "pass": 6},
            ),
        ),
        at_least=18,
        in_suite=False,
    ),
    Scenario(
        "dynamodb-lost-answers",
        "DynamoDB writes the progress item, and the answer is lost: one of three writes",
        "answers",
        spoils=(Spoil("answer", "PutItem", 3),),
        at_least=5,
        in_suite=False,
    ),
    Scenario(
        "expired-token",
        "the function's token has expired: for 10 calls of S3 in a row, then 60 go through; of DynamoDB 3, then 12",
        "answers",
        (
            refuse("s3", "ExpiredToken", 400, sequence={"fail": 10, "pass": 60}),
            refuse("dynamodb", "ExpiredTokenException", 400, sequence={"fail": 3, "pass": 12}),
        ),
        at_least=10,
    ),
    Scenario(
        "kinesis-throttled",
        "Kinesis throttles PutRecords as a whole, or fails with 500: 3 calls in a row of each, then 2 go through",
        "answers",
        (
            refuse(
                "kinesis",
                "ProvisionedThroughputExceededException",
                400,
                operation="PutRecords",
                sequence={"fail": 3, "pass": 5},
            ),
            refuse("kinesis", "InternalFailure", 500, operation="PutRecords", sequence={"fail": 3, "pass": 2}),
        ),
        at_least=6,
        producer="microburst",
        in_suite=False,
    ),
    Scenario(
        "kinesis-partial-failure",
        "Kinesis takes two of three records of every other PutRecords, and throttles or fails the third",
        "records refused",
        at_least=50,
        producer="partial",
    ),
    Scenario(
        "kinesis-lost-answers",
        "Kinesis stores the records, and the answer is lost: one of three PutRecords",
        "answers",
        spoils=(Spoil("answer", "PutRecords", 3),),
        producer="wire",
        pipeline=IDENTIFIED,
        resends=True,
    ),
    Scenario(
        "killed",
        "the function is killed (-9) between two objects of a batch",
        "kills",
        (SLOW_PUTS,),
        during=kill,
        times=3,
        in_suite=False,
    ),
    Scenario(
        "killer-record",
        "a record kills the process that runs a step on it (-9)",
        "killing records",
        killers=2,
        batch=8,
        most=100,
        variables={"DRILL_STEP": "steps:fatal"},
        in_suite=False,
    ),
    Scenario(
        "restart",
        "the stack is restarted under load, in the middle of a batch",
        "restarts",
        (SLOW_PUTS,),
        during=restart,
        times=2,
    ),
    Scenario(
        "s3-hour",
        "S3 refuses every call for an hour of the mapping's clock (`ServiceUnavailable`, 503)",
        "answers",
        during=outage("s3", "ServiceUnavailable", 503),
        at_least=20,
    ),
    Scenario(
        "dynamodb-hour",
        "DynamoDB refuses every call for an hour of the mapping's clock (`InternalServerError`, 500)",
        "answers",
        during=outage("dynamodb", "InternalServerError", 500),
        at_least=20,
        in_suite=False,
    ),
    Scenario(
        "all-at-once",
        "S3 slows down, cuts uploads and loses answers, DynamoDB throttles and loses answers, one request of ten each; "
        "and the function is killed",
        "faults",
        (
            refuse("s3", "SlowDown", 503, operation="PutObject", probability=0.1),
            refuse("dynamodb", "ThrottlingException", 400, probability=0.1),
            SLOW_PUTS,
        ),
        (Spoil("upload", "PutObject", 10), Spoil("answer", "PutObject", 10), Spoil("answer", "PutItem", 10)),
        kill,
        3,
        at_least=20,
        in_suite=False,
    ),
)

NAMED = {scenario.name: scenario for scenario in SCENARIOS}
