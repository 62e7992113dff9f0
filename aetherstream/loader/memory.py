"""What is remembered of a load that goes on while no function runs: one item a sink, beside the progress items.

The item is written whole, on the condition that its revision is the one that was read, as progress items are. It keeps
one load of a sink under way at a time, and finds it again; that nothing is loaded twice does not rest on it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from aetherstream.delivery.revisions import put_revision, read_revision
from aetherstream.loader.parts import Detail, Staged
from aetherstream.warehouse.sql import ObjectRef

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PREFIX = "#load#"
"""Begins the keys of these items. No pipeline has an empty name, so no progress item's key begins so."""

_RIGHTS = "dynamodb:GetItem, dynamodb:PutItem"
_KNOWN = ("pk", "revision", "by", "running", "most", "faults")
_MOST_FAULTS = 200
_WORDS = 500
"""Most characters that are kept of a fault."""


@dataclass(frozen=True, slots=True)
class Running:
    """A load that was submitted, or was to be."""

    load: str
    """Its id in the ledger."""
    token: str
    """ClientToken: submitting it again is no second submission, as long as the Data API knows it."""
    manifest: ObjectRef
    objects: tuple[Staged, ...]
    since: float
    """Epoch seconds."""
    statement: str = ""
    """Id of the statement; empty: nobody knows whether it was submitted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An object that a load failed for."""

    detail: Detail
    sure: bool
    """Whether Redshift named it, or it failed alone when others loaded before and after: the world is not at fault."""
    again: bool = False
    """Not sure: others have loaded since its load failed alone."""


@dataclass(frozen=True, slots=True)
class LoadMemory:
    """The item of one (pipeline, sink)."""

    key: str
    revision: int = 0
    """Raised by every write; 0: nothing is stored."""
    by: str = ""
    """Tells this write from every other one: two that settle the same load would write the same."""
    running: Running | None = None
    most: int = 0
    """Objects of the next load; halved where Redshift does not say which is at fault; 0: as many as the sink allows."""
    faults: Mapping[str, Fault] = field(default_factory=dict)
    """By location; until the ledger has them."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the stored item that this version does not know; written back as they came."""

    def next(self, **changes: Any) -> LoadMemory:
        """The item that is to be written."""
        return replace(self, revision=self.revision + 1, **changes)


class LoadMemories(Protocol):
    """Where these items live. Implementations are safe to use from one thread at a time."""

    def read(self, key: str, /) -> LoadMemory:
        """The item as it stands now (strongly consistent); `LoadMemory(key)` where there is none.

        Raises Retryable when the store is down; ConfigurationError when it may not be read.
        """

    def write(self, item: LoadMemory, /) -> LoadMemory | None:
        """Store `item` if the stored revision is `item.revision - 1` (0: nothing is stored).

        Returns None when it was written, otherwise the item that is stored. A write of which only the answer was lost
        may come back as its own conflict: the caller compares. Raises like `read`; Retryable: the outcome is unknown.
        """


def memory_key(pipeline: str, sink: str) -> str:
    """Key of the item in the progress table."""
    return f"{PREFIX}{pipeline}#{sink}"


def with_faults(item: LoadMemory, details: Mapping[str, Detail], *, sure: bool) -> dict[str, Fault]:
    """The faults of an item with more; not `sure`: they failed alone. The latest are kept, should there be too many."""
    fresh = {
        location: Fault(replace(detail, message=detail.message[:_WORDS]), sure=sure or _is_proven(item, location))
        for location, detail in details.items()
    }
    merged = {**{location: fault for location, fault in item.faults.items() if location not in fresh}, **fresh}
    return dict(list(merged.items())[-_MOST_FAULTS:])


def after_success(item: LoadMemory, loaded: Collection[str]) -> dict[str, Fault]:
    """The faults of an item when these objects have loaded: the world works."""
    return {where: replace(fault, again=True) for where, fault in item.faults.items() if where not in loaded}


def _is_proven(item: LoadMemory, location: str) -> bool:
    before = item.faults.get(location)
    return before is not None and (before.sure or before.again)


class DynamoLoadMemories:
    """`LoadMemories` on a DynamoDB table whose key is the string `pk`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, key: str, /) -> LoadMemory:
        """See `LoadMemories.read`."""
        stored = read_revision(self._client, self._table, key, _RIGHTS)
        return from_item(stored) if stored else LoadMemory(key)

    def write(self, item: LoadMemory, /) -> LoadMemory | None:
        """See `LoadMemories.write`."""
        stored = put_revision(self._client, self._table, to_item(item), item.revision, _RIGHTS)
        return None if stored is None else from_item(stored) if stored else LoadMemory(item.key)


def to_item(memory: LoadMemory) -> dict[str, Any]:
    """Write an item as DynamoDB attribute values; the objects compressed: their keys have much in common."""
    made: dict[str, Any] = {
        **memory.others,
        "pk": {"S": memory.key},
        "revision": {"N": str(memory.revision)},
        "by": {"S": memory.by},
        "most": {"N": str(memory.most)},
        "faults": {"B": _packed({location: _fault(fault) for location, fault in memory.faults.items()})},
    }
    if (run := memory.running) is not None:
        made["running"] = {
            "M": {
                "load": {"S": run.load},
                "token": {"S": run.token},
                "manifest": {"L": [{"S": run.manifest.bucket}, {"S": run.manifest.key}]},
                "objects": {"B": _packed([[each.bucket, each.key, each.etag, each.rows] for each in run.objects])},
                "since": {"N": str(run.since)},
                "statement": {"S": run.statement},
            }
        }
    return made


def from_item(item: Mapping[str, Any]) -> LoadMemory:
    """Read an item from DynamoDB attribute values; what is missing has its default."""
    running = None
    if "running" in item:
        stored = item["running"]["M"]
        bucket, key = (part["S"] for part in stored["manifest"]["L"])
        running = Running(
            stored["load"]["S"],
            stored["token"]["S"],
            ObjectRef(bucket, key),
            tuple(Staged(*each) for each in _unpacked(stored["objects"])),
            float(stored["since"]["N"]),
            stored["statement"]["S"],
        )
    faults = _unpacked(item["faults"]) if "faults" in item else {}
    return LoadMemory(
        item["pk"]["S"],
        revision=int(item["revision"]["N"]),
        by=item["by"]["S"] if "by" in item else "",
        running=running,
        most=int(item["most"]["N"]) if "most" in item else 0,
        faults={
            location: Fault(Detail(location, *rest), sure, again) for location, (sure, again, *rest) in faults.items()
        },
        others={name: value for name, value in item.items() if name not in _KNOWN},
    )


def _fault(fault: Fault) -> list[Any]:
    detail = fault.detail
    return [fault.sure, fault.again, detail.message, detail.column, detail.type, detail.line]


def _packed(value: Any) -> bytes:
    return zlib.compress(orjson.dumps(value))


def _unpacked(value: Mapping[str, Any]) -> Any:
    return orjson.loads(zlib.decompress(bytes(value["B"])))
