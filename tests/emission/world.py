"""A state table with its stream, outlets, and the emitter between them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.partials import Partial
from aetherstream.delivery.aggregates.apply import Budget, Declared, Stores, apply
from aetherstream.delivery.aggregates.memory import Memory
from aetherstream.delivery.aggregates.places import WindowPlace, scope_of
from aetherstream.delivery.aggregates.state import Item, Write, Written
from aetherstream.delivery.aggregates.statements import key_of, window_text
from aetherstream.emission.emitter import Emitter
from aetherstream.emission.report import Emission
from aetherstream.results.parts import Outlet
from aetherstream.results.rows import document
from aetherstream.testing.results import MemoryOutlet
from aetherstream.testing.states import MemoryStates, MemoryWindows
from aetherstream.testing.stores import InlineExecutor
from tests.delivery.aggregate_support import NOW, SHARD

OWNER = "flights#events"
OTHER = "shardId-000000000001"


class StreamedStates(MemoryStates):
    """States whose writes are told of, as a table's stream does."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []
        self.created = NOW

    def write_one(self, write: Write, written: Written) -> None:
        old = self.items.get(write.address)
        super().write_one(write, written)
        new = self.items.get(write.address)
        if new is not old and new is not None:
            self.tell(old, new)

    def tell(self, old: Item | None, new: Item) -> None:
        images = {name: image(item) for name, item in (("OldImage", old), ("NewImage", new)) if item is not None}
        number = str(len(self.told) + 1)
        facts = {"ApproximateCreationDateTime": self.created, "SequenceNumber": number, "Keys": key_of(new.address)}
        self.told.append({"eventName": "MODIFY" if old else "INSERT", "dynamodb": {**facts, **images}})

    def news(self) -> list[dict[str, Any]]:
        """What was told since this was asked last."""
        told, self.told = self.told, []
        return told


def image(item: Item) -> dict[str, Any]:
    """An image as an event brings it: binary values are in base64."""
    key = item.place.key
    found: dict[str, Any] = {
        **key_of(item.address),
        "k": {"N": str(item.state.k)},
        "acc": {"B": base64.b64encode(item.state.acc).decode()},
        "group": {"S": key.group},
        "window": {"S": window_text(key.window)},
    }
    return found if item.expires is None else {**found, "expires": {"N": str(item.expires)}}


class World:
    """What an emitter works on; `fold` is the stream function's part."""

    def __init__(
        self,
        *declarations: Declaration,
        outlets: Mapping[str, Sequence[Outlet]] | None = None,
        states: StreamedStates | None = None,
    ) -> None:
        self.declarations = declarations
        self.states, self.windows = states or StreamedStates(), MemoryWindows()
        self.stores = Stores(self.states, self.windows)
        self.memory = Memory()
        self.now = NOW
        self.left = 300.0
        self.outlet = MemoryOutlet()
        self.outlets: Mapping[str, Sequence[Outlet]] = (
            {one.name: [self.outlet] for one in declarations} if outlets is None else outlets
        )

    def fold(self, commit: int, parts: Mapping[Key, Partial], *, shard: str = SHARD) -> None:
        declared = {one.name: Declared(one.aggregate, scope_of(OWNER, one.aggregate)) for one in self.declarations}
        apply(commit, shard, parts, declared, self.stores, self.memory, Budget(self.now))

    def place(self, aggregate: Aggregate, window: Any = None) -> WindowPlace:
        return WindowPlace(scope_of(OWNER, aggregate), window)

    def emitter(self, declarations: Iterable[Declaration] | None = None) -> Emitter:
        return Emitter(
            "flights",
            self.declarations if declarations is None else declarations,
            self.stores,
            self.outlets,
            InlineExecutor(),
            now=lambda: self.now,
        )

    def emit(self, records: Sequence[Mapping[str, Any]] | None = None) -> Emission:
        return self.emitter().emit(self.states.news() if records is None else records, lambda: self.left)


def seen(outlet: MemoryOutlet) -> dict[str, dict[str, Any]]:
    """What stands in an outlet by id, without what follows from the id."""
    return {
        key: {
            name: value
            for name, value in found.items()
            if name not in ("id", "aggregate", "window_start", "window_end", "carrier")
        }
        for key, found in outlet.documents.items()
    }


def removed(outlet: MemoryOutlet) -> dict[str, int]:
    """Ids that were taken back, with the version of their removal."""
    return {key: document(row)["version"] for key, row in sorted(outlet.rows.items()) if row.removed}
