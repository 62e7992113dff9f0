"""What a finished schedule has to have come to, computed from what was sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from aetherstream.delivery.progress import Progress, progress_key
from aetherstream.testing.builders import STREAM, lines
from tests.simulation.faults import Fault
from tests.simulation.models import BUCKET, QUARANTINE
from tests.simulation.run import PIPELINE, Simulation
from tests.simulation.workload import SINKS, Fate, Sent, expected
from tests.simulation.world import Killed

_KILLS_OF_A_CRASHER = 4
_WITH_ABANDONED = 3
"""An abandoned attempt of a warm process may take its successor, which still runs, for a killed one."""


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


def find(simulation: Simulation) -> Found:
    """Read everything back."""
    found = Found(documents=set(simulation.search.documents))
    for key, stored in simulation.objects.under(BUCKET, ""):
        sink, _, rest = key.partition("/")
        for line in lines(stored.body):
            if sink != QUARANTINE:
                record, nth = _split(line["_event_id"])
                found.events[record].append((nth, sink, rest.partition("/")[0] if sink == "archive" else ""))
            elif line["stage"] == "deliver":
                found.refused_events[line["event"]["_event_id"]] += 1
            else:
                found.refused[line["id"]].append(line["stage"])
    return found


def _split(event_id: str) -> tuple[str, int]:
    parts = event_id.split(":")
    return ":".join(parts[:3]), int(parts[3]) if len(parts) > 3 else 0


def check(simulation: Simulation) -> list[str]:
    """Everything that is wrong with a finished schedule; empty: nothing."""
    wrong = list(simulation.world.violations)
    for attempt in simulation.attempts:
        if attempt.error is not None and not isinstance(attempt.error, Killed):
            wrong.append(f"{attempt.name} raised {attempt.error!r}")
        if not attempt.done:
            wrong.append(f"{attempt.name} never came to its end")
    found = find(simulation)
    tally: dict[str, Counter[str]] = {shard: Counter() for shard in simulation.shards}
    for shard, records in simulation.sent.items():
        for sent in records:
            wrong += _check_record(simulation, sent, found, tally[shard])
    unknown = set(found.events) - {
        f"{sent.name}:{sub}" for records in simulation.sent.values() for sent in records for sub in range(9)
    }
    wrong += [f"{name} was never sent" for name in unknown]
    for shard in simulation.shards:
        item = simulation.table.items.get(progress_key(PIPELINE, STREAM, shard))
        wrong += [f"{shard} has no progress item"] if item is None else _check_totals(item, tally[shard])
    return wrong


def _check_record(simulation: Simulation, sent: Sent, found: Found, tally: Counter[str]) -> list[str]:
    """One Kinesis record: it came to what one of the versions makes of it, or it crashed, or it is a dead letter."""
    whole = found.refused.get(sent.name, [])
    subs = [f"{sent.name}:{sub}" for sub in range(len(sent.items))]
    in_stores = [name for name in subs if found.events.get(name) or found.refused.get(name)]
    if not sent.items:
        if whole == ["decode"]:
            tally.update(records=1, quarantined=1)
            return []
        if whole == ["crashed"] or (not whole and sent.name in simulation.dead):
            return _check_crash(simulation, sent, tally) if whole else []
        return [f"{sent.name} can't be opened; expected it in the quarantine once, found {whole}"]
    if whole:
        if whole != ["crashed"] or in_stores:
            return [f"{sent.name} stands in the quarantine as {whole}, its records {in_stores} elsewhere"]
        return _check_crash(simulation, sent, tally)
    versions = sorted(simulation.deployed)
    matching = [v for v in versions if all(_is(found, name, sent, sub, v) for sub, name in enumerate(subs))]
    if not matching:
        if sent.name in simulation.dead and not in_stores:
            return []
        came = {name: (sorted(found.events.get(name, [])), found.refused.get(name, [])) for name in subs}
        return [f"{sent.name} {sent.items} came to {came}"]
    wrong: list[str] = []
    killers = [item.do for item in sent.items if item.do.startswith("kill")]
    if killers:
        wrong.append(f"{sent.name} kills, and yet it was delivered")
    fates = [expected(item, matching[0]) for item in sent.items]
    if sent.name in simulation.dead and not any(fate.events or fate.refused for fate in fates):
        tally["dropped or dead"] += len(fates)  # the stores don't tell which, and needn't
        return wrong
    for name, fate in zip(subs, fates, strict=True):
        _count(tally, fate)
        wrong += _check_documents(simulation, sent, name, fate, found, tally)
    return wrong


def _is(found: Found, name: str, sent: Sent, sub: int, version: str) -> bool:
    """Whether the stores hold of this user record exactly what the version makes of it."""
    fate = expected(sent.items[sub], version)
    wanted = [
        (nth, sink, f"p={place}" if sink == "archive" else "")
        for nth, (place, sinks) in enumerate(fate.events)
        for sink in sinks
        if sink != "search"
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
            right = refused <= 1 and (there or refused == 1)
        else:
            right = (there, refused) == ((False, 1) if conflict else (True, 0))
        if not right:
            wrong.append(f"{event_id}: document there={there}, in the quarantine {refused} times")
    return wrong


def _check_crash(simulation: Simulation, sent: Sent, tally: Counter[str]) -> list[str]:
    """Only a record at which four attempts ended without a word may be called a crasher."""
    tally.update(records=1, quarantined=1)
    ends = sum(1 for attempt in simulation.attempts if attempt.unclean and sent.name in attempt.sequences)
    if ends < (_WITH_ABANDONED if simulation.profile.has(Fault.ABANDONED) else _KILLS_OF_A_CRASHER):
        return [f"{sent.name} is called a crasher, but only {ends} attempts were killed with it"]
    return []


def _count(tally: Counter[str], fate: Fate) -> None:
    tally["records"] += 1
    tally["quarantined" if fate.refused else "passed" if fate.events else "dropped"] += 1
    for _, sinks in fate.events:
        for sink in sinks:
            if sink != "search":
                tally[f"{sink}.events"] += 1
                tally[f"{sink}.delivered"] += 1


def _check_totals(item: Progress, tally: Counter[str]) -> list[str]:
    """The running totals say what the stores hold."""
    wrong = [f"{item.key} still notes {sorted(item.open)}"] if item.open else []
    names = ["records", "passed", "quarantined", "dropped", *(f"{sink}.{what}" for sink in SINKS for what in _PER_SINK)]
    for name in names:
        slack = tally["dropped or dead"] if name in ("records", "dropped") else 0
        if not tally[name] <= item.counters.get(name, 0) <= tally[name] + slack:
            wrong.append(f"{item.key}: {name} is counted {item.counters.get(name, 0)} times, found {tally[name]}")
    return wrong


_PER_SINK = ("events", "delivered", "quarantined")
