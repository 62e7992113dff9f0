"""The requests that write states, as DynamoDB wants them.

Most go out by 25 as a batch of PartiQL statements, each of which has its own condition and its own end: what an item
costs is the same, and the client takes a tenth of the processor's time (docs/adr/0026-numbered-commits.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.places import Address
from aetherstream.delivery.aggregates.state import Write

MOST_STATEMENTS = 25
"""AWS: most statements of a BatchExecuteStatement."""
MOST_BYTES = 1_000_000
"""Bytes of states from which a batch takes no more of them."""
_ITEM = "{'pk': ?, 'sk': ?, 'k': ?, 'acc': ?, 'group': ?, 'window': ?}"
_CHANGE = "SET k = ? SET acc = ? WHERE pk = ? AND sk = ? AND k = ?"


def batches(writes: Iterable[Write]) -> Iterator[list[Write]]:
    """Put writes together that go out as one request."""
    batch: list[Write] = []
    size = 0
    for write in writes:
        batch.append(write)
        size += len(write.state.acc)
        if len(batch) == MOST_STATEMENTS or size >= MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def is_statement(write: Write) -> bool:
    """Whether a write can be a statement: those of sessions take `expires` away, which may not be there."""
    return write.place.key.window is not None


def statement(table: str, write: Write) -> dict[str, Any]:
    """One statement of a batch; what it does is what `update` does."""
    (pk, sk), state = write.address, write.state
    k, acc, key = {"N": str(state.k)}, {"B": state.acc}, write.place.key
    if write.read is None:
        return {
            "Statement": f'INSERT INTO "{table}" VALUE {_ITEM}',
            "Parameters": [{"S": pk}, {"S": sk}, k, acc, {"S": key.group}, {"S": window_text(key.window)}],
        }
    return {
        "Statement": f'UPDATE "{table}" {_CHANGE}',
        "Parameters": [k, acc, {"S": pk}, {"S": sk}, {"N": str(write.read)}],
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def update(table: str, write: Write) -> dict[str, Any]:
    """The request of a write by itself. An update, not a put: `expires` is closing's to write."""
    key, state = write.place.key, write.state
    values: dict[str, Any] = {":k": {"N": str(state.k)}, ":acc": {"B": state.acc}}
    request: dict[str, Any] = {
        "TableName": table,
        "Key": key_of(write.address),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        "ExpressionAttributeValues": values,
    }
    if write.read is None:
        values |= {":group": {"S": key.group}, ":window": {"S": window_text(key.window)}}
        request["UpdateExpression"] = "SET k = :k, acc = :acc, #group = :group, #window = :window"
        request["ConditionExpression"] = "attribute_not_exists(pk)"
        request["ExpressionAttributeNames"] = {"#window": "window", "#group": "group"}
        return request
    values[":read"] = {"N": str(write.read)}
    # Sessions of a group share an item, so one that goes on is no longer to be removed.
    request["UpdateExpression"] = "SET k = :k, acc = :acc" + (" REMOVE expires" if key.window is None else "")
    request["ConditionExpression"] = "k = :read"
    return request


def key_of(address: Address) -> dict[str, Any]:
    """The key of an item as attribute values."""
    return {"pk": {"S": address.pk}, "sk": {"S": address.sk}}


def window_text(window: Window | None) -> str:
    """How an item says which window it belongs to; empty for sessions."""
    return "" if window is None else f"{int(window.start)}/{int(window.end)}"


def window_of(text: str) -> Window | None:
    """Read what `window_text` wrote."""
    start, _, end = text.partition("/")
    return Window(int(start), int(end)) if end else None
