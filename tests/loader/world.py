"""A pipeline's staged objects, its queue, its progress items and its tables, in memory; and the loader over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import orjson

from aetherstream.delivery.progress import Noted, Progress, progress_key
from aetherstream.delivery.put import put
from aetherstream.encoded import EVENT_ID
from aetherstream.loader.finality import Finality
from aetherstream.loader.load_queue import notifications
from aetherstream.loader.loader import Loader
from aetherstream.loader.notifications import Announced, Message
from aetherstream.loader.report import Handled, LoadReport
from aetherstream.objects import SUFFIX, Target, compressor, empty_object
from aetherstream.records import sortable
from aetherstream.testing.builders import SHARD, START, STREAM
from aetherstream.testing.queues import MemoryQueue
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from aetherstream.testing.warehouse import MemoryWarehouse, remover
from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions
from aetherstream.warehouse.sql import ObjectRef
from aetherstream.warehouse.types import column_type

PIPELINE = "flights"
BUCKET = "data"
NOW = START + 3600
APPEND = Contract("flights", (Column("origin", column_type("char(3)")),))
UPSERT = Contract(
    "latest",
    (
        Column("tail", column_type("varchar(8)"), nullable=False),
        Column("version", column_type("bigint"), nullable=False),
    ),
    mode="upsert",
    key=("tail",),
    version="version",
)


def target(contract: Contract = APPEND, sink: str = "warehouse", **changes: Any) -> LoadTarget:
    made = LoadTarget(
        sink=sink,
        contract=contract,
        staging=Target(BUCKET, f"flights/staging/{sink}", SUFFIX["gzip"]),
        warehouse=WarehouseOptions("wh.example", "dev"),
    )
    return replace(made, **changes)


def row(number: int, **values: Any) -> dict[str, Any]:
    return {EVENT_ID: f"{SHARD}:{number}:0", **(values or {"origin": "JFK"})}


def ids(*numbers: int) -> list[str]:
    """The event ids of `row`."""
    return sorted(f"{SHARD}:{number}:0" for number in numbers)


@dataclass
class World:
    """One sink, unless a test adds another."""

    target: LoadTarget = field(default_factory=target)
    now: float = NOW
    fenced: bool = True
    left: float = 900.0
    """Seconds that an invocation has."""

    def __post_init__(self) -> None:
        self.objects = MemoryObjects(clock=lambda: self.now)
        self.progress = MemoryProgress()
        self.queue = MemoryQueue(clock=lambda: self.now)
        self.warehouse = self.table(self.target)
        self.tables = [(self.target, self.warehouse)]
        self.ids = count(1)
        self.note()

    def table(self, target: LoadTarget) -> MemoryWarehouse:
        return MemoryWarehouse(target.contract, self.objects, clock=lambda: self.now)

    def loader(self, **changes: Any) -> Loader:
        parts: dict[str, Any] = {
            "finality": Finality(PIPELINE, STREAM, self.progress if self.fenced else None),
            "store": self.objects,
            "remove": remover(self.objects),
            "queue": self.queue,
            "executor": InlineExecutor(),
            "clock": lambda: self.now,
            "new_id": lambda: f"load{next(self.ids)}",
        }
        return Loader(changes.pop("sinks", self.tables), **{**parts, **changes})

    # -- What attempts do ---------------------------------------------------------------------------------------------

    def key(self, number: int, folder: str = "day=2025-11-21", shard: str = SHARD) -> str:
        return self.target.staging.key(folder, shard, f"{sortable(str(number))}-000000")

    def note(self, *keys: str, epoch: int = 1, redrive: Sequence[str] = (), shard: str = SHARD) -> None:
        """Make a progress item that notes these keys and no others."""
        key = progress_key(PIPELINE, STREAM, shard)
        noted = {f"{BUCKET}/{each}": Noted("999", "v1") for each in keys}
        redriven = tuple(f"{BUCKET}/{each}" for each in redrive)
        self.progress.items[key] = Progress(key, revision=1, epoch=epoch, open=noted, redrive_keys=redriven)

    def stage(self, key: str, *rows: dict[str, Any], epoch: int = 1) -> str:
        """Put an object with rows as the engine does."""
        lines = b"".join(orjson.dumps(each) + b"\n" for each in rows)
        body = compressor("zstd" if key.endswith("zst") else "gzip", 1)(lines, epoch)
        put(self.objects, BUCKET, key, body, {"aether-count": str(len(rows))}, epoch)
        return key

    def staged(self, *numbers: int) -> list[str]:
        """Put an object with a row for each number."""
        return [self.stage(self.key(number), row(number)) for number in numbers]

    def empty(self, key: str, epoch: int = 2) -> None:
        put(self.objects, BUCKET, key, empty_object(key, epoch), {"aether-count": "0"}, epoch)

    # -- What the queue and the loader do -----------------------------------------------------------------------------

    def announce(self, *keys: str) -> str:
        """Announce objects in one message."""
        [body] = notifications([ObjectRef(BUCKET, key) for key in keys], self.now - 5)
        return self.queue.put(body)

    def handle(self, loader: Loader | None = None, most: int = 10_000) -> Handled:
        """One invocation, with what Lambda does about its answer."""
        taken = self.queue.take(most)
        done = (loader or self.loader()).handle(taken, lambda: self.left)
        self.queue.settle(taken, done.again)
        return done

    def report(self, loader: Loader | None = None) -> LoadReport:
        [report] = self.handle(loader).reports
        return report

    @property
    def ids_in_table(self) -> list[str]:
        return sorted(each[EVENT_ID] for each in self.warehouse.database.rows)

    @property
    def states(self) -> dict[str, str]:
        """Ledger: key → state."""
        return {at.removeprefix(f"{BUCKET}/"): entry.state for at, entry in self.warehouse.database.ledger.items()}


def message(body: object, received: int = 1) -> Message:
    text = body if isinstance(body, str) else orjson.dumps(body).decode()
    return Message("m1", "r1", text, received)


def at(key: str, time: float | None = None) -> Announced:
    return Announced(BUCKET, key, time)


def failing_at(step: str, error: BaseException, times: int = 1) -> Callable[[str], None]:
    """Raise at a step, so many times."""
    left = [times]

    def hook(name: str) -> None:
        if name == step and left[0]:
            left[0] -= 1
            raise error

    return hook
