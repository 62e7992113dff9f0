"""The warehouse of a schedule: notifications of every put, loaders that take them, and what the table comes to."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from aetherstream.delivery.put import Head
from aetherstream.encoded import EVENT_ID
from aetherstream.errors import Retryable
from aetherstream.loader.finality import Finality
from aetherstream.loader.load_queue import notifications
from aetherstream.loader.loader import Loader
from aetherstream.loader.notifications import Message, announced
from aetherstream.loader.report import Handled
from aetherstream.objects import SUFFIX, Target
from aetherstream.records import sortable
from aetherstream.testing.builders import START, STREAM
from aetherstream.testing.stores import InlineExecutor, MemoryObjects
from aetherstream.testing.warehouse import MemoryDatabase, MemoryWarehouse, Row, remover
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions
from aetherstream.warehouse.sql import ObjectRef
from tests.simulation.faults import AT_READ, AT_WRITE, Fault
from tests.simulation.models import BUCKET, held_lines
from tests.simulation.world import Attempt, World

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

SINK = "staging"
_ROUNDS = 40
_MOST_TURNS = 3

LoaderVariant = Callable[["Simulation", str], Loader]
"""Makes a loader, given its name."""


class Queue:
    """SQS as it is at its worst: any message may come at any time, also while somebody is at work on it."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self.messages: dict[str, tuple[str, int]] = {}
        """Body and how often it was received, by id."""
        self.dead: list[str] = []
        self._made = count(1)

    def put(self, keys: Sequence[str]) -> None:
        """Announce objects, now and then twice."""
        for body in notifications([ObjectRef(BUCKET, key) for key in keys], self._world.now + START):
            for _ in range(2 if self._rng.random() < 0.2 else 1):
                self.messages[f"m{next(self._made)}"] = body, 0

    def take(self, most: int) -> list[Message]:
        """Take some messages, whichever."""
        names = self._rng.sample(list(self.messages), min(most, len(self.messages)))
        for name in names:
            body, received = self.messages[name]
            self.messages[name] = body, received + 1
        return [Message(name, name, *self.messages[name]) for name in names]

    def settle(self, taken: Sequence[Message], again: Collection[str]) -> None:
        """Remove what was taken and does not come again."""
        for message in taken:
            if message.id not in again:
                self.messages.pop(message.id, None)

    def delay(self, waits: Sequence[tuple[Message, int]], /) -> None:
        """See `LoaderQueue.delay`: it comes when it likes."""
        if waits:
            self._world.effect(f"delay {' '.join(message.id for message, _ in waits)}", lambda: None, AT_READ)

    def refuse(self, message: Message, reason: str, /) -> None:
        """See `LoaderQueue.refuse`."""
        self._world.effect(f"refuse {message.id}: {reason}", lambda: self.dead.append(reason), AT_WRITE)


class Files:
    """What the loader and COPY see of S3: the loader's requests are effects; COPY reads at one moment."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.manifests = MemoryObjects()

    def head(self, bucket: str, key: str, /) -> Head | None:
        """See `ObjectStore.head`."""
        return self._simulation.objects.head(bucket, key)

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Any, /) -> None:
        """See `ObjectStore.overwrite`."""
        self._simulation.world.effect(
            f"put {key}", lambda: self.manifests.overwrite(bucket, key, body, metadata), AT_READ
        )

    def put(self, *args: Any, if_match: str | None) -> None:
        """See `ObjectStore.put`."""
        raise AssertionError("the loader puts nothing under a condition")

    def get(self, bucket: str, key: str, /) -> bytes | None:
        """See `ObjectReader.get`."""
        stored = self.manifests.objects.get((bucket, key)) or self._simulation.objects.objects.get((bucket, key))
        return None if stored is None else stored.body

    def list(self, bucket: str, prefix: str, /) -> Iterator[Any]:
        """See `ObjectReader.list`."""
        raise AssertionError("the loader lists nothing")


@dataclass
class Table(MemoryWarehouse):
    """The table, with the faults of a connection; nothing but the ledger keeps an append from loading twice."""

    simulation: Any = None

    def _commit(self, commit: Callable[[], bool]) -> bool:
        # A commit that nobody has an answer to may be made yet. No driver sends one twice.
        made: bool = self.simulation.world.effect("COMMIT", commit, AT_WRITE - {Fault.RESENT})
        return made

    def _merged(self, rows: list[Row], stage: Sequence[Row]) -> list[Row]:  # type: ignore[override]
        if self.contract.mode == "append" and not self.simulation.loads.deduplicates:
            return [*rows, *stage]
        return super()._merged(rows, stage)


class Loads:
    """The queue, the loaders and the table of a schedule."""

    def __init__(self, simulation: Simulation, variant: LoaderVariant | None) -> None:
        self._simulation = simulation
        self._variant = variant or loader
        self._rng = rng = random.Random(f"loads {simulation.seed}")
        self.deduplicates = rng.random() < 0.5
        """Whether the append's own look at the event ids is there as well as the ledger."""
        self.contract = simulation.shape.contract
        self.most = rng.choice((1, 2, 500))
        self.refusing = rng.choice((0.0, 0.0, 0.1))
        """How often COPY refuses an object."""
        self.tells = rng.random() < 0.5
        self.database = MemoryDatabase()
        self.queue = Queue(simulation.world, rng)
        self.files = Files(simulation)
        self.attempts: list[Attempt] = []
        self.set_aside = 0
        self._idle: list[Loader] = []
        self._ids = count(1)
        if simulation.shape.loads:
            simulation.objects.on_put = self._announce

    # -- What happens while the stream flows --------------------------------------------------------------------------

    def _announce(self, key: str) -> None:
        if key.startswith(f"{SINK}/"):
            self.queue.put([key])

    def take_turns(self) -> None:
        """Let loaders come, if it so happens."""
        simulation, world, rng = self._simulation, self._simulation.world, self._rng
        for _ in range(_MOST_TURNS):
            if not simulation.shape.loads or not self.queue.messages or rng.random() < 0.5:
                return
            short = world.happens(Fault.SHORT_OF_TIME)
            self._load(rng.choice((1, 3, 10)), 20.0 if short else 900.0)

    def _load(self, most: int, seconds: float) -> None:
        world, rng = self._simulation.world, self._rng
        taken = self.queue.take(most)
        name = f"loader{len(self.attempts)}"
        made = self._idle.pop() if self._idle and rng.random() < 0.7 else self._variant(self._simulation, name)

        def handle() -> Handled:
            done = made.handle(taken, lambda: seconds)
            if not world.happens(Fault.RESPONSE_LOST):
                self.queue.settle(taken, done.again)
            return done

        attempt = Attempt(name, handle, [], redrives=True)
        if world.happens(Fault.ABANDONED):
            attempt.abandon_at = rng.randint(1, 12)
        self.attempts.append(attempt)
        world.note(f"{name} begins with {' '.join(message.id for message in taken)}")
        world.run(attempt)
        world.note(f"{name} came to {attempt.report or attempt.error!r}")
        if attempt.report is not None:
            self._idle.append(made)

    # -- The end ------------------------------------------------------------------------------------------------------

    def settle_all(self) -> None:
        """Load until nothing is left that can be loaded, and bring back what was set aside."""
        world = self._simulation.world
        if not self._simulation.shape.loads:
            return
        world.calm = True
        world.end_abandoned()
        self.refusing = 0.0
        for _ in range(_ROUNDS):
            self._retry()
            left = len(self.queue.messages)
            self._load(10_000, 900.0)
            if len(self.queue.messages) == left and not self._failed():
                return

    def _failed(self) -> list[str]:
        return [location for location, entry in self.database.ledger.items() if entry.state == "failed"]

    def _retry(self) -> None:
        locations = self._failed()
        self.set_aside += len(locations)
        for location in locations:
            del self.database.ledger[location]
        self.queue.put([location.partition("/")[2] for location in locations])

    def check(self) -> list[str]:
        """What is wrong with the table, once everything that can be loaded is."""
        simulation = self._simulation
        if not simulation.shape.loads:
            return []
        self.settle_all()
        wrong = [f"raised: {each.name} raised {each.error!r}" for each in self.attempts if _is_bug(each.error)]
        reports = [report for each in self.attempts if each.report is not None for report in each.report.reports]
        wrong += [f"loads: {location} is held to be rewritten" for report in reports for location in report.rewritten]
        wrong += [f"loads: a message was refused: {reason}" for reason in self.queue.dead]
        final, open_ = self._objects()
        waiting = {each.location for body, _ in self.queue.messages.values() for each in announced(body)}
        wrong += [f"loads: {location} is final and waits" for location in sorted(waiting - open_)]
        wanted = [row for location in final for row in held_lines(self._body(location))]
        return wrong + self._compare(wanted)

    def _compare(self, wanted: Sequence[Row]) -> list[str]:
        there = self.database.rows
        if self.contract.mode == "upsert":
            newest: dict[str, Row] = {}
            for row in sorted(wanted, key=_age):
                newest[row["p"]] = row
            wanted = list(newest.values())
        ids, come = sorted(row[EVENT_ID] for row in wanted), sorted(row[EVENT_ID] for row in there)
        if ids != come:
            more, less = set(come) - set(ids), set(ids) - set(come)
            twice = {each for each in come if come.count(each) > 1}
            kind = "doubled" if more or twice else "lost"
            return [f"{kind}: the table has {sorted(more)} too much, {sorted(twice)} twice, and not {sorted(less)}"]
        rows = sorted(wanted, key=lambda row: str(row[EVENT_ID]))
        if rows != sorted(there, key=lambda row: str(row[EVENT_ID])):
            return ["doubled: rows of the table are not those of the final objects"]
        return []

    def _objects(self) -> tuple[list[str], set[str]]:
        """The objects that are final in the end, and those that are not: looked up as plainly as can be."""
        noted = {
            location for item in self._simulation.table.items.values() for location in (*item.open, *item.redrive_keys)
        }
        staged = [f"{BUCKET}/{key}" for key, _ in self._simulation.objects.under(BUCKET, f"{SINK}/")]
        return [location for location in staged if location not in noted], noted

    def _body(self, location: str) -> bytes:
        bucket, _, key = location.partition("/")
        return self._simulation.objects.objects[bucket, key].body

    def refuses(self, location: str) -> str | None:
        """What COPY has against an object, this time."""
        if self.refusing and not self._simulation.world.calm and self._rng.random() < self.refusing:
            self._simulation.world.note(location, Fault.UNLOADABLE)
            return "refused"
        return None

    def next_id(self) -> str:
        """Begins the ids of loads."""
        return f"load{next(self._ids)}"


def _is_bug(error: BaseException | None) -> bool:
    return isinstance(error, Exception) and not isinstance(error, Retryable)


def _age(row: Row) -> tuple[str, str, list[str]]:
    shard, *numbers = row[EVENT_ID].split(":")
    return row["do"], shard, [sortable(number) for number in numbers]


def table_of(simulation: Simulation, kind: type[Table] = Table) -> Table:
    """The real rules of a load, over a connection that may break."""
    loads, world = simulation.loads, simulation.world
    return kind(
        loads.contract,
        loads.files,
        loads.database,
        at=lambda step: world.effect(step, lambda: None, AT_READ),
        refuses=loads.refuses,
        tells=loads.tells,
        clock=lambda: world.now + START,
        simulation=simulation,
    )


def loader_parts(simulation: Simulation, name: str) -> dict[str, Any]:
    """What a loader is made of."""
    loads, world = simulation.loads, simulation.world
    target = LoadTarget(
        sink=SINK,
        contract=loads.contract,
        staging=Target(BUCKET, SINK, SUFFIX["gzip"]),
        warehouse=WarehouseOptions("warehouse", "dev"),
        objects=loads.most,
    )
    return {
        "sinks": [(target, table_of(simulation))],
        "finality": Finality(simulation.pipeline, STREAM, simulation.table),
        "store": loads.files,
        "remove": remover(loads.files.manifests),
        "queue": loads.queue,
        "executor": InlineExecutor(),
        "clock": lambda: world.now + START,
        "new_id": loads.next_id,
    }


def loader(simulation: Simulation, name: str) -> Loader:
    """The real one."""
    return Loader(**loader_parts(simulation, name))
