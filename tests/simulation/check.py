"""What a finished schedule has to have come to, computed from what was sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from aetherstream.delivery.progress import Progress, progress_key
from aetherstream.errors import Retryable
from aetherstream.testing.builders import STREAM
from tests.simulation.faults import Fault
from tests.simulation.models import BUCKET, LOGS, QUARANTINE, REFOLDED, SPILL, held_lines
from tests.simulation.run import PIPELINE, Simulation
from tests.simulation.workload import SINKS, Fate, Sent, expected
from tests.simulation.world import Killed

_KILLS_OF_A_CRASHER = 4
_KILLED_REDRIVES = 2


@dataclass
class Found:
    """What stands in the stores, by user record."""

    events: dict[str, list[tuple[int, str, str]]] = field(default_factory=lambda: defaultdict(list))
    """User record → (nth, sink, partition) of everything in the per-object sinks."""
    refused: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """User record, or Kinesis record that could not be opened → stages."""
    refused_events: Counter[str] = field(default_factory=Counter)
    """Event ids that the per-record sink refused."""
    documents: set[str] = field(default_factory=set)
    disorder: list[str] = field(default_factory=list)


def find(simulation: Simulation) -> Found:
    """Read everything back."""
    found = Found(documents=set(simulation.search.documents))
    for key, stored in simulation.objects.under(BUCKET, ""):
        sink, _, rest = key.partition("/")
        if sink in (SPILL, LOGS) or key.startswith(REFOLDED):
            continue  # `Drains.check` says what may stand there; the others are of the aggregates
        held = held_lines(stored.body)
        if sink != QUARANTINE and (ids := [_sort_key(line["_event_id"]) for line in held]) != sorted(ids):
            found.disorder.append(f"order: the events of {key} are not in the stream's order")
        for line in held:
            if sink != QUARANTINE:
                record, nth = _split(line["_event_id"])
                found.events[record].append((nth, sink, rest.partition("/")[0] if sink == "archive" else ""))
            elif line["stage"] == "aggregate":
                continue  # `check_aggregates`
            elif line["stage"] == "deliver":
                found.refused_events[line["event"]["_event_id"]] += 1
            else:
                found.refused[line["id"]].append(line["stage"])
    return found


def _split(event_id: str) -> tuple[str, int]:
    parts = event_id.split(":")
    return ":".join(parts[:3]), int(parts[3]) if len(parts) > 3 else 0


def _sort_key(event_id: str) -> tuple[str, list[int]]:
    shard, *numbers = event_id.split(":")
    return shard, [int(number) for number in numbers]


def check(simulation: Simulation) -> list[str]:
    """Everything that is wrong with a finished schedule; empty: nothing."""
    wrong = list(simulation.world.violations)
    for attempt in simulation.attempts:
        if attempt.error is not None and not isinstance(attempt.error, Killed):
            wrong.append(f"raised: {attempt.name} raised {attempt.error!r}")
        if not attempt.done:
            wrong.append(f"stuck: {attempt.name} never came to its end")
    wrong += [
        f"raised: {redrive.name} raised {redrive.error!r}"
        for redrive in simulation.operators.attempts
        if redrive.error is not None and not isinstance(redrive.error, Killed | Retryable)
    ]
    found = find(simulation)
    wrong += found.disorder + simulation.drains.check()
    tally: dict[str, Counter[str]] = {shard: Counter() for shard in simulation.stream.shards}
    discarded = {name for unit in simulation.operators.units if unit.discarded for name in unit.names}
    for sent in simulation.stream.sent():
        if sent.name in simulation.table.settled:
            wrong += _check_settled(simulation, sent, found, tally[sent.shard])
        elif sent.name in simulation.dead:
            wrong += _check_dead(simulation, sent, found, discarded=sent.name in discarded)
        elif sent.name not in simulation.expired:
            wrong.append(f"lost: {sent.name} was never settled")
        elif simulation.stream.shards[sent.shard].closed:
            pass  # nobody came after it who would have emptied what its attempts left
        elif there := _there(sent, found):
            wrong.append(f"doubled: {sent.name} expired, and {there} stand in the stores")
    unknown = set(found.events) - {f"{sent.name}:{sub}" for sent in simulation.stream.sent() for sub in range(9)}
    wrong += [f"doubled: {name} was never sent" for name in unknown]
    for shard in simulation.stream.shards.values():
        item = simulation.table.items.get(progress_key(PIPELINE, STREAM, shard.name))
        if item is not None:
            wrong += _check_totals(item, tally[shard.name], simulation, closed=shard.closed)
    return wrong


def _there(sent: Sent, found: Found) -> list[str]:
    """Which of its user records stand anywhere."""
    names = [f"{sent.name}:{sub}" for sub in range(len(sent.items))]
    return [name for name in names if found.events.get(name) or found.refused.get(name)]


def _check_settled(simulation: Simulation, sent: Sent, found: Found, tally: Counter[str]) -> list[str]:
    """A Kinesis record that an attempt completed came to what one of the versions makes of it, or it crashed."""
    whole, there = found.refused.get(sent.name, []), _there(sent, found)
    if whole == ["crashed"] and not there:
        return _check_crash(simulation, sent, tally)
    if not sent.items:
        tally.update(records=1, quarantined=1)
        if whole == ["decode"]:
            return []
        return [f"{'doubled' if whole else 'lost'}: {sent.name} can't be opened; in the quarantine it is {whole}"]
    if whole:
        return [f"doubled: {sent.name} stands in the quarantine as {whole}, its records {there} elsewhere"]
    subs = list(enumerate(f"{sent.name}:{sub}" for sub in range(len(sent.items))))
    versions = sorted(simulation.deployed)
    matching = [v for v in versions if all(_is(simulation, found, name, sent, sub, v) for sub, name in subs)]
    if not matching:
        return [_came_to(sent, found)]
    wrong: list[str] = []
    if any(item.do.startswith("kill") for item in sent.items):
        wrong.append(f"doubled: {sent.name} kills, and yet it was delivered")
    for sub, name in subs:
        fate = expected(sent.items[sub], matching[0])
        _count(tally, fate, simulation.shape.places)
        wrong += _check_documents(simulation, sent, name, fate, found, tally)
    return wrong


def _check_dead(simulation: Simulation, sent: Sent, found: Found, *, discarded: bool) -> list[str]:
    """A dead letter that was brought back: each user record is whole; of a discarded one, whole or nowhere."""
    whole, there = found.refused.get(sent.name, []), _there(sent, found)
    if whole == ["crashed"]:
        return _check_redrive_crash(simulation, sent, found, there)
    if not sent.items:
        right = whole in (["decode"], []) if discarded else whole == ["decode"]
        return [] if right else [f"{'doubled' if whole else 'lost'}: dead letter {sent.name} came to {whole}"]
    if not discarded and any(item.do.startswith("kill") for item in sent.items):
        return [f"lost: dead letter {sent.name} kills, and yet it came to {there}"]
    if whole:
        return [f"doubled: dead letter {sent.name} stands in the quarantine as {whole}"]
    wrong: list[str] = []
    for sub in range(len(sent.items)):
        name = f"{sent.name}:{sub}"
        if discarded and name not in there:
            continue
        versions = [v for v in sorted(simulation.deployed) if _is(simulation, found, name, sent, sub, v)]
        if not versions:
            return [f"{_came_to(sent, found)} (a dead letter)"]
        if not discarded:
            fate = expected(sent.items[sub], versions[0])
            wrong += _check_documents(simulation, sent, name, fate, found, Counter())
    return wrong


def _came_to(sent: Sent, found: Found) -> str:
    there = _there(sent, found)
    came = {name: (sorted(found.events.get(name, [])), found.refused.get(name, [])) for name in there}
    return f"{'doubled' if there else 'lost'}: {sent.name} {sent.items} came to {came}"


def _is(simulation: Simulation, found: Found, name: str, sent: Sent, sub: int, version: str) -> bool:
    """Whether the stores hold of this user record exactly what the version makes of it."""
    fate = expected(sent.items[sub], version)
    wanted = [
        (nth, sink, f"p={place}" if sink == "archive" else "")
        for nth, (place, sinks) in enumerate(fate.events)
        for sink in sinks
        if sink in simulation.shape.places
    ]
    refused = [fate.refused] if fate.refused else []
    return sorted(found.events.get(name, [])) == sorted(wanted) and found.refused.get(name, []) == refused


def _check_documents(
    simulation: Simulation, sent: Sent, name: str, fate: Fate, found: Found, tally: Counter[str]
) -> list[str]:
    """The per-record sink: each event as a document, or in the quarantine because the sink refused it."""
    wrong: list[str] = []
    flaky = simulation.profile.has(Fault.FLAKY)
    for nth, (_, sinks) in enumerate(fate.events):
        event_id = f"{name}:{nth}" if nth else name
        there, refused = event_id in found.documents, found.refused_events[event_id]
        if "search" not in sinks or not simulation.shape.with_search:
            continue
        conflict = sent.items[int(name.rpartition(":")[2])].do == "conflict"
        tally["search.events"] += 1
        tally["search.quarantined"] += refused
        tally["search.delivered"] += 1 - refused
        if flaky:  # the sink refuses at one attempt what it takes at another
            right = refused <= 1 and (there or refused >= 1)
        else:
            right = (there, min(refused, 1)) == ((False, 1) if conflict else (True, 0)) and refused <= 1
        if not right:
            kind = "doubled" if refused else "lost"
            wrong.append(f"{kind}: {event_id}: document there={there}, in the quarantine {refused} times")
    return wrong


def _check_crash(simulation: Simulation, sent: Sent, tally: Counter[str]) -> list[str]:
    """Only a record at which four attempts ended without a word may be called a crasher."""
    tally.update(records=1, quarantined=1)
    ends = sum(1 for attempt in simulation.attempts if attempt.unclean and sent.name in attempt.sequences)
    if ends < _KILLS_OF_A_CRASHER:
        return [f"lost: {sent.name} is called a crasher, but only {ends} attempts were killed with it"]
    return []


def _check_redrive_crash(simulation: Simulation, sent: Sent, found: Found, there: list[str]) -> list[str]:
    """Only a record at which two redrives ended without a report may be called a crasher.

    Of what filtered redrives had delivered before, each user record is whole.
    """
    for name in there:
        sub = int(name.rpartition(":")[2])
        if not any(_is(simulation, found, name, sent, sub, version) for version in simulation.deployed):
            return [f"{_came_to(sent, found)} (a dead letter that kills)"]
    ends = sum(
        1 for redrive in simulation.operators.attempts if redrive.report is None and sent.name in redrive.sequences
    )
    if ends < _KILLED_REDRIVES:
        return [f"lost: dead letter {sent.name} is called a crasher, but only {ends} redrives were killed with it"]
    return []


def _count(tally: Counter[str], fate: Fate, places: tuple[str, ...]) -> None:
    tally["records"] += 1
    tally["quarantined" if fate.refused else "passed" if fate.events else "dropped"] += 1
    for _, sinks in fate.events:
        for sink in sinks:
            if sink in places:
                tally[f"{sink}.events"] += 1
                tally[f"{sink}.delivered"] += 1


def _check_totals(item: Progress, tally: Counter[str], simulation: Simulation, *, closed: bool) -> list[str]:
    """The running totals say what the stores hold. A closed shard may note what its dead letters left."""
    wrong = [f"stuck: {item.key} still notes {sorted(item.open)}"] if item.open and not closed else []
    names = ["records", "passed", "quarantined", "dropped", *(f"{sink}.{what}" for sink in SINKS for what in _PER_SINK)]
    if simulation.shape.spills:
        # What an attempt spilled, and the drain brought or was refused: the stores don't tell.
        names = [name for name in names if name not in ("search.delivered", "search.quarantined")]
        settled = sum(item.counters.get(f"search.{what}", 0) for what in ("delivered", "quarantined", "spilled"))
        if settled != item.counters.get("search.events", 0):
            wrong.append(f"accounting: {item.key}: {item.counters}")
    if simulation.profile.has(Fault.FLAKY):
        # A redrive may be refused what an attempt had delivered: then the stores don't tell what the attempt counted.
        names = [name for name in names if name not in ("search.delivered", "search.quarantined")]
    wrong += [
        f"accounting: {item.key}: {name} is counted {item.counters.get(name, 0)} times, found {tally[name]}"
        for name in names
        if item.counters.get(name, 0) != tally[name]
    ]
    return wrong


_PER_SINK = ("events", "delivered", "quarantined")
