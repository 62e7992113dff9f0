"""A world in which numbered commits are tried: a stream, Lambda, the progress items, the state table, S3, redrives.

Everything can break at every effect: the process is killed before or after it, its answer is lost, it is refused, it
happens later. The folding is the real one; the protocol around it is that of docs/adr/0026-numbered-commits.md.

    python -m tests.delivery.aggregate_world 0 1000
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Key, Output
from aetherstream.aggregates.columns import Columns
from aetherstream.aggregates.fold import fold
from aetherstream.aggregates.partials import Partial, Partials, dump, merge_all
from aetherstream.aggregates.windows import Session, Tumbling
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.closing import close
from aetherstream.delivery.aggregates.commits import Commits, Logs
from aetherstream.delivery.aggregates.places import Address, GroupPlace, WindowPlace, scope_of
from aetherstream.delivery.aggregates.results import Result, merged
from aetherstream.delivery.aggregates.state import Item, Mark, State, Write, Written
from aetherstream.delivery.pending import Pending
from aetherstream.delivery.put import PreconditionFailed
from aetherstream.errors import Retryable
from aetherstream.testing.states import MemoryStates, MemoryWindows
from aetherstream.testing.stores import MemoryObjects
from tests.delivery.aggregate_turns import Actor, Turns

OUTPUTS = (
    Output("events", make("count")),
    Output("sum", make("sum"), "v"),
    Output("first", make("first"), "v"),
)
BY_WINDOW = Aggregate("by_window", (("g", "g"),), Tumbling(10), OUTPUTS)
BY_SESSION = Aggregate("by_session", (("g", "g"),), Session(4), OUTPUTS)
AGGREGATES = (BY_WINDOW, BY_SESSION)
SCOPE = scope_of("p#s", BY_WINDOW)
SHARDS = ("s1", "s2")
EMITTERS = 4
Chosen = tuple[int, int]
"""A record and the version of the pipeline that transformed it."""


@dataclass(frozen=True)
class Broken:
    """What is left out of the protocol, to see that it is missed."""

    folds_before_commit: bool = False
    writes_without_condition: bool = False
    leaves_pending: bool = False
    redrive_leaves_pending: bool = False
    commits_unseen: bool = False
    """A redrive that commits on its lease alone, whatever number it has seen."""
    version_is_greatest_k: bool = False
    emits_open_windows_only: bool = False
    """Nobody tells of changes after closing."""


WHOLE = Broken()


@dataclass(frozen=True)
class Progress:
    """The progress item of a shard, as far as it matters here. Records are numbered from 1."""

    shard: str
    revision: int = 0
    epoch: int = 0
    completed: int = 0
    commit: int = 0
    pending: Pending | None = None
    log: int = 0
    """Epoch of the log that is pending; tells which one it is."""
    lease: int = 0
    until: int = 0
    writer: int = 0
    """Which attempt or redrive wrote it last: no two write the same item."""


@dataclass
class Process:
    """A warm function."""

    version: int
    commits: Commits
    items: dict[str, Progress] = field(default_factory=dict)


@dataclass
class Lane:
    """Lambda's view of a shard."""

    shard: str
    next: int = 1
    batch: tuple[int, int] = (0, 0)
    tries: int = 0
    actor: Actor | None = None
    answer: int | None = None
    """The first record that was not settled, once the attempt has ended."""


class World:
    """One schedule, decided by a seed."""

    def __init__(self, seed: int, broken: Broken = WHOLE, records: int = 12) -> None:
        self.rng = random.Random(seed)
        self.broken = broken
        self.calm = False
        self.trouble = self.rng.choice((0.0, 0.03, 0.08, 0.15))
        self.most_inline = self.rng.choice((0, 10_000))
        self.turns = Turns(self.rng)
        self.clock = 0
        self.writers = count(1)
        self.version = 1
        self.states = WorldStates(self)
        self.windows = WorldWindows(self)
        self.objects = WorldObjects(self)
        self.progress: dict[str, Progress] = {shard: Progress(shard) for shard in SHARDS}
        self.events = {
            shard: {n: (float(self.rng.randrange(40)), self.rng.choice("ab"), n) for n in range(1, records + 1)}
            for shard in SHARDS
        }
        self.records = records
        self.meant: dict[tuple[str, int], list[Chosen]] = {}
        """What the log of an epoch folds."""
        self.truth: dict[str, list[Chosen]] = {shard: [] for shard in SHARDS}
        """What was committed."""
        self.rejected: dict[str, set[int]] = {shard: set() for shard in SHARDS}
        self.units: list[tuple[str, int, int]] = []
        self.done_units: set[tuple[str, int, int]] = set()
        self.idle: list[Process] = []
        self.lanes = [Lane(shard) for shard in SHARDS]
        self.late: list[Callable[[], None]] = []
        self.dirty: list[GroupPlace] = []
        self.sink: dict[Key, tuple[int, bytes]] = {}
        """What is emitted on every update."""
        self.final: dict[Key, tuple[int, bytes]] = {}
        """What is emitted when windows are closed, and of closed ones."""
        self.seen = Counter[str]()

    # --- faults

    def chance(self, probability: float) -> bool:
        return not self.calm and self.rng.random() < probability

    def effect(self, do: Callable[[], None], what: str, *, may_be_late: bool = True) -> None:
        """Something that happens outside of the process."""
        self.turns.step()
        if self.chance(self.trouble * 0.4):
            self.seen["refused"] += 1
            raise Retryable(f"{what}: refused")
        if may_be_late and self.chance(self.trouble * 0.3):
            self.seen["late"] += 1
            self.late.append(do)
            raise Retryable(f"{what}: nobody knows; it happens later")
        do()
        if self.chance(self.trouble * 0.4):
            self.seen["lost"] += 1
            raise Retryable(f"{what}: the answer was lost")
        self.turns.step()

    # --- the progress item

    def write(self, item: Progress) -> Progress | None:
        """As `ProgressStore.write`."""
        answer: list[Progress | None] = []

        def do() -> None:
            stored = self.progress[item.shard]
            if stored.revision != item.revision - 1:
                answer.append(stored)
                return
            if item.commit != stored.commit:
                self.truth[item.shard] += self.meant[item.shard, item.log]
            self.progress[item.shard] = item
            answer.append(None)

        self.effect(do, "progress")
        stored = answer[0]
        return None if stored == item else stored

    # --- what batches mean

    def folded(self, shard: str, chosen: Sequence[Chosen]) -> Partials:
        """The partials of some records; another version groups them otherwise."""
        rows = [(record, *self.events[shard][record][:2], version) for record, version in sorted(chosen)]
        columns = Columns(
            {"g": [group if version == 1 else group.upper() for _, _, group, version in rows],
             "v": [record * 1000 for record, _, _, _ in rows]},
            [time for _, time, _, _ in rows],
            [(shard, f"{record:03d}", 0, 0) for record, _, _, _ in rows],
        )  # fmt: skip
        return {key: one for aggregate in AGGREGATES for key, one in fold(aggregate, columns).partials.items()}

    def expected(self) -> dict[str, dict[Key, bytes]]:
        """What the states of each shard have to be: recomputed from what was committed."""
        return {shard: dumped(self.folded(shard, self.truth[shard])) for shard in SHARDS}

    def is_exact(self) -> bool:
        """Whether states and sink are what was committed, and nobody has folded what was not."""
        emitted, final = ({key: data for key, (_, data) in sink.items()} for sink in (self.sink, self.final))
        ahead = any(
            item.state.k > self.progress[address.sk.split("#")[1]].commit for address, item in self.states.items.items()
        )
        return self.found() == self.expected() and emitted == final == united(self) and not ahead

    def found(self) -> dict[str, dict[Key, bytes]]:
        """What they are."""
        return {
            shard: {
                item.place.key: item.state.acc
                for address, item in self.states.items.items()
                if address.sk.split("#")[1] == shard
            }
            for shard in SHARDS
        }

    # --- processes and attempts

    def process(self) -> Process:
        if self.idle and self.rng.random() < 0.7:
            return self.idle.pop(self.rng.randrange(len(self.idle)))
        logs = Logs(self.objects, self.objects, "b", "logs", most_inline=self.most_inline)
        stores = Stores(self.states, self.windows)
        return Process(self.version, Commits("p#s", AGGREGATES, stores, logs, now=lambda: 0.0))

    def attempt(self, lane: Lane, process: Process, first: int, last: int) -> None:
        shard = lane.shard
        me = lane.actor
        answer = first
        try:
            answer = self._attempt(process, shard, first, last)
        except Retryable:
            process.items.pop(shard, None)
        if lane.actor is me:
            lane.answer = answer
        self.idle.append(process)

    def _attempt(self, process: Process, shard: str, first: int, last: int) -> int:
        item, writer = process.items.pop(shard, None) or Progress(shard), next(self.writers)
        while True:
            unsettled = [record for record in range(first, last + 1) if record > item.completed]
            epoch = item.epoch + bool(unsettled)
            claimed = replace(item, revision=item.revision + 1, epoch=epoch, writer=writer)
            stored = self.write(claimed)
            if stored is None:
                break
            item = stored
        if not unsettled:
            self.pending(process, claimed)
            process.items[shard] = claimed
            return last + 1
        prefix = unsettled[: self.rng.randint(0 if self.chance(0.2) else 1, len(unsettled))]
        if not prefix:
            process.items[shard] = claimed
            return unsettled[0]
        refused = {record for record in prefix if self.rng.random() < 0.1}
        chosen = [(record, process.version) for record in prefix if record not in refused]
        done = self.commit(process, claimed, chosen, lambda item: item.epoch == claimed.epoch, prefix[-1])
        if done is None:
            return first
        self.rejected[shard] |= refused
        process.items[shard] = done
        return prefix[-1] + 1

    def pending(self, process: Process, item: Progress) -> None:
        if not self.broken.leaves_pending:
            process.commits.fold(item.shard, item.pending)

    def commit(
        self,
        process: Process,
        item: Progress,
        chosen: list[Chosen],
        ours: Callable[[Progress], bool],
        completed: int,
        *,
        redrive: bool = False,
    ) -> Progress | None:
        """Log, fold what is pending, commit, fold. None: somebody else has taken over."""
        shard, epoch, writer = item.shard, item.lease if redrive else item.epoch, item.writer
        self.meant[shard, epoch] = chosen
        partials = self.folded(shard, chosen)
        pending = process.commits.log(shard, epoch, item.commit + 1, partials) if partials else None
        while True:
            if not (redrive and self.broken.redrive_leaves_pending):
                self.pending(process, item)
            done = replace(
                item,
                revision=item.revision + 1,
                completed=max(item.completed, completed),
                lease=0 if redrive else item.lease,
                writer=writer,
            )
            if pending is not None:
                pending = process.commits.renumbered(shard, pending, item.commit + 1)
                done = replace(done, commit=item.commit + 1, pending=pending, log=epoch)
                if self.broken.folds_before_commit:
                    process.commits.fold(shard, pending)
            stored = self.write(done)
            if stored is None:
                break
            if not ours(stored):
                return None
            if self.broken.commits_unseen and redrive:
                stored = replace(stored, commit=item.commit)
            item = stored
        process.commits.fold(shard, pending)
        return done

    # --- redrives

    def redrive(self, process: Process, unit: tuple[str, int, int], *, discard: bool) -> None:
        try:
            self._redrive(process, unit, discard=discard)
        except Retryable:
            pass
        finally:
            self.idle.append(process)

    def _redrive(self, process: Process, unit: tuple[str, int, int], *, discard: bool) -> None:
        shard, first, last = unit
        item, writer = Progress(shard), next(self.writers)
        while True:
            if item.lease and item.until > self.clock:
                return
            taken = replace(
                item,
                revision=item.revision + 1,
                epoch=item.epoch + 1,
                lease=item.epoch + 1,
                until=self.clock + 30,
                completed=max(item.completed, last),
                writer=writer,
            )
            stored = self.write(taken)
            if stored is None:
                break
            item = stored
        # What stands somewhere already is found by its id, as a redrive looks through the objects.
        there = {record for record, _ in self.truth[shard]} | self.rejected[shard]
        chosen = [] if discard else [(n, process.version) for n in range(first, last + 1) if n not in there]
        done = self.commit(process, taken, chosen, lambda now: now.lease == taken.lease, last, redrive=True)
        if done is not None:
            self.done_units.add(unit)

    # --- the emitter

    def emit(self, place: GroupPlace) -> None:
        try:
            self._emit(place)
        except BaseException:
            self.dirty.append(place)  # the stream of a table brings it again
            raise

    def _emit(self, place: GroupPlace) -> None:
        items = []
        for shard in SHARDS:  # a query reads item by item, not a moment
            self.turns.step()
            if (item := self.states.items.get(place.address(shard))) is not None:
                items.append(item)
        [result] = merged(BY_WINDOW, items)
        version = max(item.state.k for item in items) if self.broken.version_is_greatest_k else result.version
        self.turns.step()
        self.upsert(self.sink, result._replace(version=version))
        if place.in_window in self.windows.closed and not self.broken.emits_open_windows_only:
            self.turns.step()
            self.upsert(self.final, result)

    def upsert(self, sink: dict[Key, tuple[int, bytes]], result: Result) -> None:
        """As a sink with external versions takes it."""
        if result.version >= sink.get(result.key, (0, b""))[0]:
            sink[result.key] = (result.version, dump(BY_WINDOW, result.accs))

    # --- closing

    def close_windows(self, process: Process) -> None:
        """Close every window, whether or not it is time: some shards' events are late then."""
        try:
            self._close_windows(process)
        except Retryable:
            pass
        finally:
            self.idle.append(process)

    def _close_windows(self, process: Process) -> None:
        for shard in SHARDS:
            process.commits.fold(shard, self.progress[shard].pending)
        for window, shards in self.windows.due(SCOPE, 1e9).items():
            place = WindowPlace(SCOPE, window)
            close(BY_WINDOW, [(place, shards)], self.states, self.windows, self._emit_final, now=0.0)

    def _emit_final(self, found: Sequence[Result]) -> None:
        for result in found:
            self.turns.step()
            self.upsert(self.final, result)

    # --- the run

    def run(self) -> None:
        for _ in range(100_000):
            self.clock += 1
            self._happen()
            if self.turns.actors:
                self.turns.some_turn()
            elif self._over():
                break
        else:
            raise AssertionError("the schedule does not end")
        self.calm = True
        for do in self.late:
            do()
        closer = self.process()
        for item in self.progress.values():
            closer.commits.fold(item.shard, item.pending)
        self._close_windows(closer)
        while self.dirty:
            self.emit(self.dirty.pop())

    def _over(self) -> bool:
        return (
            all(lane.next > self.records and lane.actor is None for lane in self.lanes)
            and set(self.units) <= self.done_units
        )

    def _happen(self) -> None:
        """What happens by itself between two turns."""
        for lane in self.lanes:
            self._poll(lane)
        if self.late and self.rng.random() < 0.1:
            self.late.pop(self.rng.randrange(len(self.late)))()
        if self.rng.random() < 0.005:
            self.version = 2
        working = [actor for actor in self.turns.actors if actor.name != "emitter"]
        if working and self.rng.random() < self.trouble * 0.03:
            self.seen["killed"] += 1
            actor = self.rng.choice(working)
            self.turns.kill(actor)
        if self.dirty and len(self.turns.actors) - len(working) < EMITTERS:
            place = self.dirty.pop(self.rng.randrange(len(self.dirty)))
            self.turns.start("emitter", lambda: self.emit(place))
        if len(working) < 6 and self.rng.random() < 0.02:
            closer = self.process()
            self.turns.start("closer", lambda: self.close_windows(closer))
        open_units = [unit for unit in self.units if unit not in self.done_units]
        if open_units and len(working) < 6 and self.rng.random() < 0.05:
            unit, process = self.rng.choice(open_units), self.process()
            discard = self.rng.random() < 0.2
            self.turns.start("redrive", lambda: self.redrive(process, unit, discard=discard))

    def _poll(self, lane: Lane) -> None:
        if lane.actor is not None:
            if lane.actor in self.turns.actors:
                if self.rng.random() < self.trouble * 0.03:  # Lambda gives it up; it goes on
                    self.seen["abandoned"] += 1
                    lane.actor = None
                    self._failed(lane)
                return
            lane.actor = None
            if lane.answer is not None and lane.answer > lane.batch[0]:
                lane.next, lane.tries = lane.answer, 0
            else:
                self._failed(lane)
        if lane.next > self.records:
            return
        if lane.next > 1 and self.rng.random() < self.trouble * 0.1:
            lane.next = self.rng.randint(1, lane.next)  # a checkpoint that was passed is read again
        first = lane.next
        last = min(self.records, first + self.rng.randrange(5))
        lane.batch, lane.answer = (first, last), None
        process = self.process()
        lane.actor = self.turns.start("attempt", lambda: self.attempt(lane, process, first, last))

    def _failed(self, lane: Lane) -> None:
        lane.tries += 1
        if lane.tries >= 3 and self.rng.random() < 0.5:
            self.seen["dead-lettered"] += 1
            self.units.append((lane.shard, *lane.batch))
            lane.next, lane.tries = lane.batch[1] + 1, 0


def dumped(partials: Mapping[Key, Partial]) -> dict[Key, bytes]:
    by_name = {aggregate.name: aggregate for aggregate in AGGREGATES}
    return {key: dump(by_name[key.aggregate], partial) for key, partial in partials.items()}


def united(world: World) -> dict[Key, bytes]:
    """What the sink has to hold."""
    by_name = {aggregate.name: aggregate for aggregate in AGGREGATES}
    parts = [world.folded(shard, world.truth[shard]) for shard in SHARDS]
    return {key: data for key, data in dumped(merge_all(by_name, parts)).items() if key.window is not None}


def void(_: object) -> None:
    """For effects whose answer nobody reads."""


class WorldStates(MemoryStates):
    """The state table: every write is an effect of its own."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def read(self, addresses: Collection[Address], /) -> dict[Address, State]:
        found: dict[Address, State] = {}
        for address in addresses:
            self._world.effect(lambda: found.update(MemoryStates.read(self, [address])), "read", may_be_late=False)  # noqa: B023
        return found

    def window(self, place: WindowPlace, /) -> Iterator[list[Item]]:
        groups = {item.place for item in self.items.values() if item.place.in_window == place}
        for group in sorted(groups):  # page by page, not a moment
            self._world.turns.step()
            yield [item for item in self.items.values() if item.place == group]

    def expire(self, items: Sequence[Item], at: int, /) -> list[Item]:
        self._world.effect(lambda: void(MemoryStates.expire(self, items, at)), "expire")
        return []

    def write(self, writes: Sequence[Write], /) -> Written:
        world, written = self._world, Written()
        for write in world.rng.sample(list(writes), len(writes)):
            own = Written()
            try:
                world.effect(lambda: self._put(write, own), "state")  # noqa: B023
            except Retryable as error:
                written.failed[write.address] = error
            else:
                written.refused |= own.refused
        return written

    def _put(self, write: Write, written: Written) -> None:
        if self._world.broken.writes_without_condition:
            self.items[write.address] = Item(write.place, write.address, write.state)
        else:
            self.write_one(write, written)
        if write.place.key.window is not None:
            self._world.dirty.append(write.place)


class WorldWindows(MemoryWindows):
    """What is known about windows."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def begin(self, places: Sequence[WindowPlace], shard: str, /) -> set[WindowPlace]:
        found: set[WindowPlace] = set()
        self._world.effect(lambda: found.update(MemoryWindows.begin(self, places, shard)), "begin")
        return found

    def marks(self, places: Collection[WindowPlace], /) -> dict[WindowPlace, Mark]:
        found: dict[WindowPlace, Mark] = {}
        self._world.effect(lambda: found.update(MemoryWindows.marks(self, places)), "marks", may_be_late=False)
        return found

    def close(self, place: WindowPlace, expires: int, /, *, kept: int) -> Mark:
        self._world.effect(lambda: void(MemoryWindows.close(self, place, expires, kept=kept)), "close")
        return self.closed[place]

    def settle(self, place: WindowPlace, shards: Sequence[str], /) -> None:
        self._world.effect(lambda: MemoryWindows.settle(self, place, shards), "settle")


class WorldObjects(MemoryObjects):
    """S3."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        failed: list[bool] = []

        def do() -> None:
            try:
                MemoryObjects.put(self, bucket, key, body, metadata, if_match=if_match)
            except PreconditionFailed:
                failed.append(True)

        self._world.effect(do, "put")
        if failed:
            raise PreconditionFailed

    def get(self, bucket: str, key: str, /) -> bytes | None:
        self._world.effect(lambda: None, "get")
        return MemoryObjects.get(self, bucket, key)


if __name__ == "__main__":
    first, last = map(int, sys.argv[1:])
    inexact = []
    for seed in range(first, last):
        world = World(seed)
        world.run()
        if not world.is_exact():
            inexact.append(seed)
    print(f"{last - first} schedules, not exact: {inexact}")  # noqa: T201 - called by hand
