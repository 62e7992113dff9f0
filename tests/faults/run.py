"""One scenario from its first record to the verdict."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from tests.faults.bench import RATE, Bench, Microburst, Timed
from tests.faults.load import Sender, killers_among, on_stream
from tests.faults.partial import PartialFailures
from tests.faults.scenarios import Scenario, Scene
from tests.faults.verdict import Verdict, judge
from tests.faults.wire import Wire
from tests.integration.ground import Ground

PATIENCE = 600.0
"""Seconds until a run that does not end counts as hanging: long, because a busy machine starts functions slowly."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario led to."""

    scenario: Scenario
    injected: int
    invocations: int
    attempts: int
    """Claims of all shards: batches, and how often they had to be tried again."""
    verdict: Verdict
    crashed: int
    """Records in the quarantine with the stage `crashed`."""
    dead_letters: int
    wrong: tuple[str, ...]
    """What must not be, in words."""


def run(bench: Bench, scenario: Scenario, records: int, times: int | None = None) -> Outcome:
    """Send `records` records through the function while faults are injected, then read the sinks.

    A scenario may take fewer. `times` overrides how often it does what it does while they flow.
    """
    ground = bench.ground()
    records = min(records, scenario.most or records)
    killers = killers_among(records, scenario.killers)
    with ExitStack() as undo:
        proxy = undo.enter_context(Microburst(bench.stack.endpoint))
        partial = undo.enter_context(PartialFailures(bench.stack.endpoint))
        wire = undo.enter_context(Wire(proxy.url, scenario.spoils))
        ways = {"direct": bench.stack.endpoint, "microburst": proxy.url, "partial": partial.url, "wire": wire.url}
        proxy.obey(*(dict(rule) for rule in scenario.rules))
        flow = undo.enter_context(
            Timed(
                bench.stack,
                ground,
                pipeline=scenario.pipeline,
                variables=scenario.variables,
                mapping={"batch_size": scenario.batch, "batching_window": 0, **scenario.mapping},
                endpoint=wire.url if scenario.spoils else proxy.url,
            )
        )
        client = bench.client(ways[scenario.producer])
        sender = undo.enter_context(Sender(ground.stream, client, records, killers))
        own = 0
        if scenario.during is not None:
            own = scenario.during(Scene(bench, ground, flow, proxy, times or scenario.times))
        sender.join()
        progress = flow.drain(PATIENCE * RATE)
        injected = scenario.killers + own + proxy.injected() + wire.spoilt + partial.refused
    return _outcome(scenario, ground, sender.payloads, len(killers), injected, progress.invocations)


def _outcome(
    scenario: Scenario, ground: Ground, sent: list[bytes], killers: int, injected: int, invocations: int
) -> Outcome:
    identified = scenario.pipeline.endswith("identified.yaml")
    quarantined = ground.quarantined()
    crashed = sum(envelope["stage"] == "crashed" for envelope in quarantined)
    stream = dict(on_stream(ground.clients.kinesis, ground.stream))
    verdict = judge(sent, stream, ground.archived(), quarantined, identified=identified)
    dead = len(ground.dead())
    wrong = [f"{count} {name}" for name, count in verdict.wrong.items()]
    wrong += [f"{dead} dead letters"] * bool(dead)
    wrong += [f"{crashed} crashed, not {killers}"] * (crashed != killers)
    counters = ground.counters()
    settled = counters["passed"] + counters["quarantined"]
    wrong += [f"{settled} counted, not {len(stream)}"] * (settled != len(stream))
    wrong += [f"{shard} has open keys" for shard, item in ground.progress().items() if item.open]
    wrong += [f"{injected} faults, fewer than {scenario.at_least}"] * (injected < scenario.at_least)
    wrong += ["the producer sent nothing twice"] * (scenario.resends and not verdict.resent)
    attempts = sum(item.epoch for item in ground.progress().values())
    return Outcome(scenario, injected, invocations, attempts, verdict, crashed, dead, tuple(wrong))
