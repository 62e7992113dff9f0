"""Which records an expression chooses, and that nothing is decoded before it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from aetherstream.errors import UsageError
from aetherstream.recovery.selection import Matching
from aetherstream.testing.builders import SHARD, JsonLists, kinesis_records

BATCH = kinesis_records([{"n": 1}, [{"n": 2}, {"n": 0}], "no JSON", {"m": 3}])


@dataclass
class Noting(JsonLists):
    """Notes which records it is given."""

    seen: list[int] = field(default_factory=list)

    def decode(self, *arguments: Any) -> Any:
        self.seen += range(*arguments[1:3])
        return super().decode(*arguments)


def test_it_chooses_the_user_records_for_which_it_holds() -> None:
    chosen = Matching(JsonLists(), BATCH, "n > 0")
    names = ["100:0", "110:0", "110:1", "120", "120:0", "130:0"]
    assert [name for name in names if chosen(f"{SHARD}:{name}")] == ["100:0", "110:0"]


def test_a_record_is_decoded_once_and_when_it_is_asked_for() -> None:
    decoder = Noting()
    chosen = Matching(decoder, BATCH, "n > 0")
    assert decoder.seen == []
    for name in ("110:0", "110:1", "120"):
        chosen(f"{SHARD}:{name}")
    assert decoder.seen == [1]


def test_what_is_no_expression_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="--where 'n >'"):
        Matching(JsonLists(), BATCH, "n >")
