"""The state of one shard's window, as Lambda hands it from invocation to invocation.

JSON with base64 inside, the same bytes for the same content. Partials stay bytes until a batch touches their group.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.serial import Reader, UnreadableState, Writer

FORMAT = 1

Groups = dict[str, bytes]
"""Text of a group → its partial, as `aetherstream.aggregates.partials.dump` writes it."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """What a shard has of a window: a whole window's, unless it was cut because it grew too large."""

    first: str = ""
    """Sequence number of the first record in it: no other part of any window has it."""
    last: str = ""
    """Sequence number of the last record in it."""
    records: int = 0
    """How many Kinesis records are in it, whatever became of them. Grows with every batch."""
    groups: Mapping[str, Groups] = field(default_factory=dict)
    """By aggregate."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """By aggregate: groups whose partials nobody can read any more, because it is declared otherwise now."""

    def written(self, aggregates: Sequence[Aggregate]) -> dict[str, Any]:
        """Give what the response returns."""
        if not self.records:
            return {}
        return {
            "format": FORMAT,
            "first": self.first,
            "last": self.last,
            "records": self.records,
            "aggregates": {
                one.name: {"declared": one.fingerprint, "groups": _packed(self.groups[one.name])}
                for one in aggregates
                if self.groups.get(one.name)
            },
        }

    def size(self, aggregates: Sequence[Aggregate]) -> int:
        """Bytes that it takes in the response; all of it is ASCII."""
        return len(orjson.dumps(self.written(aggregates)))


def read_state(value: Mapping[str, Any], aggregates: Sequence[Aggregate]) -> WindowState:
    """Read what `WindowState.written` gave.

    What belongs to an aggregate that is declared otherwise by now is left out, and told in `lost`.

    Raises:
        UnreadableState: a later version wrote it, or it is damaged.
    """
    if not value:
        return WindowState()
    if value.get("format") != FORMAT:
        raise UnreadableState(
            f"the window's state has format {value.get('format')!r}, and this version reads {FORMAT}: deploy the "
            "version that wrote it, or a later one"
        )
    try:
        found = {
            name: (part["declared"], _unpacked(name, part["groups"])) for name, part in value["aggregates"].items()
        }
        first, last, records = str(value["first"]), str(value["last"]), int(value["records"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableState(f"the window's state is damaged: {error!r}") from error
    declared = {one.name: one.fingerprint for one in aggregates}
    return WindowState(
        first,
        last,
        records,
        {name: groups for name, (fingerprint, groups) in found.items() if declared.get(name) == fingerprint},
        {name: len(groups) for name, (fingerprint, groups) in found.items() if declared.get(name) != fingerprint},
    )


def _packed(groups: Groups) -> str:
    out = Writer(FORMAT).uint(len(groups))
    for group in sorted(groups):
        out.text(group).blob(groups[group])
    return b64encode(out.done()).decode()


def _unpacked(name: str, text: str) -> Groups:
    read = Reader(b64decode(text, validate=True), f"a window of aggregate {name}", FORMAT)
    groups = {}
    for _ in range(read.uint()):
        group = read.text()
        groups[group] = read.blob()
    read.end()
    return groups
