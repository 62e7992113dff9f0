"""The progress item: what is known about one shard of one pipeline, and the only place where attempts meet.

The whole item is written each time, on the condition that its revision is the one that was read; a failed write returns
the stored item. So whoever acts on a stale picture learns the present one by the write that fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from aetherstream.delivery.pending import Pending

_BEFORE_HALVING = 2
"""Attempts that have to be killed at a start before the next one takes less."""
_MOST_DEATHS = 32
"""The latest deaths that are kept: halving 10,000 records (AWS's largest batch) and two more of one alone take 18."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A key that an attempt may have written and that no completion has covered yet."""

    first: str
    """Sortable sequence number of the first event that the object was to hold."""
    version: str
    """Pipeline version that noted it."""


@dataclass(frozen=True, slots=True)
class Death:
    """An attempt that another process found without a word of its end."""

    process: str
    """The process that made it. Whatever this process writes later proves that it was not killed."""
    size: int
    """How many Kinesis records it had taken."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How the last attempt on the shard stands; tells a killed process from one that ended with an error."""

    start: str = ""
    """Sortable sequence number of its first unsettled record."""
    size: int = 0
    """How many Kinesis records it took."""
    process: str = ""
    """The process that made it. A further claim by the same process proves that it was not killed."""
    ended: bool = True
    """Whether it ended by itself, well or with an error."""
    deaths: tuple[Death, ...] = ()
    """The attempts at this start that were killed (memory, time-out, crash), the first one first."""

    @property
    def killed(self) -> int:
        """How many attempts at this start were killed."""
        return len(self.deaths)

    @property
    def alone(self) -> int:
        """How many of those, after the first two, had taken a single record."""
        return sum(death.size == 1 for death in self.deaths[_BEFORE_HALVING:])


@dataclass(frozen=True, slots=True)
class Suspect:
    """Records of the shard at which redrives are at work, or were killed (memory, time-out, crash)."""

    first: str
    """Sortable position of the first: sequence number, and the index of a user record that comes alone."""
    last: str
    version: str
    """The pipeline version at work; for another one nothing is known."""
    killed: int = 0
    """How many redrives were killed here, or in a wider range around it."""
    alone: int = 0
    """How many of those were at work on this one record and no other."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who redrives the shard now. Attempts on live batches leave it as it is."""

    owner: str
    """Who holds it: for people, and no two redrives have the same."""
    number: int
    """The epoch that taking it raised; tells this redrive from every other one."""
    until: int
    """When another one may take it, epoch milliseconds."""
    at: Suspect | None = None
    """What its holder is at work on: a holder that is killed leaves it behind."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress item of one (pipeline, stream, shard)."""

    key: str
    revision: int = 0
    """Raised by every write; 0 means that nothing is stored."""
    epoch: int = 0
    """Raised by claims and redrives; fences writers of the objects."""
    completed: str = ""
    """Sortable sequence number up to which every record was delivered, quarantined or dead-lettered."""
    completed_arrival: int = 0
    """Arrival of that record, epoch milliseconds."""
    open: Mapping[str, Noted] = field(default_factory=dict)
    """`bucket/key` of the objects that attempts since `completed` may have written."""
    attempt: Attempt = field(default_factory=Attempt)
    counters: Mapping[str, int] = field(default_factory=dict)
    """Totals of the accounting since the item began, set absolutely."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the stored item that this version does not know; written back as they came."""
    lease: Lease | None = None
    """Who redrives the shard, and until when."""
    redrive_keys: tuple[str, ...] = ()
    """`bucket/key` of the objects that an unfinished redrive may have written."""
    suspects: tuple[Suspect, ...] = ()
    """Where redrives were killed."""
    redriven: Mapping[str, int] = field(default_factory=dict)
    """Totals of what redrives did, beside `counters`: an attempt and a redrive may write the item by turns."""
    commit: int = 0
    """Number of the last commit of aggregates, by an attempt or a redrive; 0: there was none."""
    pending: Pending | None = None
    """That commit's redo log: folded, or to be folded by whoever comes next."""
    event_time: float | None = None
    """The latest event time that commits have had, epoch seconds; lateness is judged by it."""


class ProgressStore(Protocol):
    """Where progress items live. Implementations are safe to use from one thread at a time."""

    def write(self, item: Progress, /) -> Progress | None:
        """Store `item` if the stored revision is `item.revision - 1` (0: nothing is stored).

        Returns None when it was written, otherwise the item that is stored (`Progress(key)` where there is none). A
        write of which only the answer was lost may come back as its own conflict: the caller compares.
        Raises Retryable when the outcome is unknown or the store is down.
        """


_UNREACHED = 2**62


def peek(store: ProgressStore, key: str) -> Progress:
    """Look at an item without changing it; `Progress(key)` where there is none.

    By a write whose condition can't hold, as a cold function looks: it needs no leave to read the table.
    Raises Retryable like `ProgressStore.write`.
    """
    stored = store.write(Progress(key, revision=_UNREACHED))
    return Progress(key) if stored is None else stored


def progress_key(pipeline: str, stream_arn: str, shard: str) -> str:
    """Key of the item: pipeline, stream name, shard."""
    return f"{pipeline}#{stream_arn.rpartition('/')[2]}#{shard}"


def next_attempt(before: Progress, start: str, size: int, process: str) -> Attempt:
    """What to note for an attempt at `start` with `size` records at hand, given how the last one stands.

    After two killed attempts at the same start the next one takes half of what the last took, and so on down to a
    single record, so that a record that kills the process is isolated without any of its neighbours being lost.
    """
    last = before.attempt
    if last.start != start:
        return Attempt(start, size, process, ended=False)
    deaths = _without(last.deaths, process)
    was_killed = not last.ended and last.process != process
    if was_killed:
        deaths = (*deaths, Death(last.process, last.size))[-_MOST_DEATHS:]
    if len(deaths) >= _BEFORE_HALVING:
        size = min(size, max(1, last.size // 2 if was_killed else last.size))
    return Attempt(start, size, process, ended=False, deaths=deaths)


def is_crasher(attempt: Attempt) -> bool:
    """Tell whether the single record of this attempt has killed the process twice on its own."""
    return attempt.size == 1 and attempt.alone >= 2


def ended(item: Progress, process: str) -> Progress | None:
    """The item to be written when an attempt of `process` has ended by itself; None where it has nothing to say.

    Where another attempt has come meanwhile and counts this one among the killed, it is told that it was not.
    """
    attempt = item.attempt
    if attempt.process == process and not attempt.ended:
        said = replace(attempt, ended=True)
    elif (deaths := _without(attempt.deaths, process)) != attempt.deaths:
        said = replace(attempt, deaths=deaths)
    else:
        return None
    return replace(item, revision=item.revision + 1, attempt=said)


def _without(deaths: tuple[Death, ...], process: str) -> tuple[Death, ...]:
    """A process dies once: one that is at work was not killed."""
    return tuple(death for death in deaths if death.process != process)
