"""From Kinesis records to events: every user record becomes an event or a rejection, in the order of the stream.

Each Kinesis record holds at least one user record. Its flat indexes are given in the order of the bytes (KPL
sub-record, array element, line) before anything is rejected, so they are the same in every attempt.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from collections.abc import Sequence
from contextlib import suppress
from itertools import repeat
from typing import Any

from pybase64 import b64decode

from aetherstream.decode.aggregate import is_aggregate, open_aggregate
from aetherstream.decode.compression import compression_of
from aetherstream.decode.cut import cut_document
from aetherstream.decode.documents import UNREAD, Item, Refusal, doubtful, read_document, read_each
from aetherstream.decode.limits import Allowance, Limits
from aetherstream.errors import Rejected
from aetherstream.records import Events, KinesisRecords, Rejection

_LEVELS = 2
"""Compression inside compression happens (a compressed log, sent by a client that compresses); more is an attack."""


class Decoder:
    """Opens Kinesis records and reads their JSON. Holds no state but `seen`; one batch at a time.

    A plain JSON object costs one turn of three loops in C. Creating thousands of objects triggers passes of the garbage
    collector that find nothing and cost 40 % on top: whoever calls this with a whole batch pauses `gc` around it.
    """

    def __init__(
        self,
        *,
        max_expanded: int = Limits.max_expanded,
        max_records: int = Limits.max_records,
        max_values: int = Limits.max_values,
        max_depth: int = Limits.max_depth,
    ) -> None:
        self.limits = Limits(max_expanded, max_records, max_values, max_depth)
        self.seen = 0
        """User records that the last `decode` met, counted as they were told apart: events and rejections together."""

    def decode(self, records: KinesisRecords, start: int, end: int, rejections: list[Rejection]) -> Events:
        """Decode the records `[start:end]` of a batch.

        Args:
            records: the batch; payloads as base64 text.
            start: index of the first record to decode.
            end: index behind the last one.
            rejections: those of these records are appended, in order. Where the whole Kinesis record could not be
                opened, `sub` and `payload` are None (what is not base64 has its text as payload); else the payload is
                the user record's own bytes: the data of the KPL sub-record as it was sent, the element, the line.

        Returns:
            The events by column, `records` counting from the beginning of the batch.
        """
        payloads = _unbase64(records.data[start:end])
        values = read_each(payloads)
        for i in doubtful(payloads, values, self.limits):
            values[i] = UNREAD
        self.seen = len(values)
        if set(map(type, values)) <= {dict}:
            return Events(values, list(range(start, start + len(values))), [0] * len(values))
        events = Events()
        plain = 0
        for i, value in enumerate(values):
            if type(value) is dict:
                continue
            _add_plain(events, values[plain:i], start + plain)
            plain = i + 1
            payload = payloads[i]
            if payload is None:
                text = records.data[start + i].encode("utf-8", "backslashreplace")
                rejections.append(
                    _rejection(start + i, None, Rejected("not base64", "the record's data is not base64"), text)
                )
                continue
            try:
                items = self._open(payload, value)
            except Rejected as error:
                rejections.append(_rejection(start + i, None, error, None))
                continue
            self.seen += len(items) - 1
            _add(events, rejections, start + i, items)
        _add_plain(events, values[plain:], start + plain)
        return events

    def _open(self, data: bytes, parsed: Any) -> list[Item]:
        """Open one Kinesis record: its items in order.

        Raises:
            Rejected: it can't be opened, and nothing in it can be told apart.
        """
        allowance = Allowance(self.limits)
        if not is_aggregate(data):
            return self._read(data, allowance, parsed)
        parts, refused = open_aggregate(data)
        self.limits.check_records(len(parts))
        values: list[Any] = read_each(parts)
        for i in [*doubtful(parts, values, self.limits), *refused]:
            values[i] = UNREAD
        if set(map(type, values)) == {dict}:
            return values
        items: list[Item] = []
        for i, (part, value) in enumerate(zip(parts, values, strict=True)):
            if type(value) is dict:
                items.append(value)
                continue
            try:
                if i in refused:
                    raise refused[i]
                items += self._read(part, allowance, value)
            except Rejected as error:
                items.append(Refusal(error.reason, error.message, part))
        self.limits.check_records(len(items))
        return items

    def _read(self, data: bytes, allowance: Allowance, parsed: Any) -> list[Item]:
        """Expand what is compressed, then read the document."""
        if parsed is UNREAD:
            data = _expand(data, allowance)
        return read_document(data, self.limits, parsed)

    def payloads(self, records: KinesisRecords, index: int) -> list[bytes] | None:
        """Return the bytes of each user record of the Kinesis record `index`, by flat index; None where it holds one.

        They are what `decode` would give as the payload of a rejection: the data of the KPL sub-record as it was sent,
        the element, the line. Each decodes alone to the same event. This opens the record anew, which is for the rare
        record that is rejected, and never raises: for what `decode` could not open it returns None.
        """
        data = _unbase64(records.data[index : index + 1])[0]
        if data is None:
            return None
        allowance = Allowance(self.limits)
        try:
            if is_aggregate(data):
                pieces = self._cut_aggregate(data, allowance)
            else:
                pieces = cut_document(_expand(data, allowance), self.limits)
        except Rejected:
            return None
        return pieces if len(pieces) > 1 else None

    def _cut_aggregate(self, data: bytes, allowance: Allowance) -> list[bytes]:
        """Cut an aggregate; a sub-record that holds one user record, or can't be opened, stays as it is."""
        parts, refused = open_aggregate(data)
        pieces: list[bytes] = []
        for i, part in enumerate(parts):
            inner = [part]
            if i not in refused:
                with suppress(Rejected):
                    inner = cut_document(_expand(part, allowance), self.limits)
            pieces += inner if len(inner) > 1 else [part]
        return pieces


def _expand(data: bytes, allowance: Allowance) -> bytes:
    """Expand what is compressed, level by level; raise Rejected if it can't be."""
    levels = 0
    while kind := compression_of(data):
        if levels == _LEVELS:
            raise Rejected("compressed too often", f"compressed more than {_LEVELS} times")
        data = allowance.expand(kind, data)
        levels += 1
    if levels:
        allowance.take_values(data)
    if is_aggregate(data):
        raise Rejected("KPL aggregate: not outermost", "a KPL aggregate inside another format is not opened")
    return data


def _unbase64(texts: Sequence[str]) -> list[bytes | None]:
    """Decode every text; None for those that are not base64 through and through. The loop is that of `read_each`."""
    payloads: list[bytes | None] = []
    results = map(b64decode, texts, repeat(None), repeat(True))
    while True:
        try:
            payloads.extend(results)
        except (Base64Error, ValueError):
            payloads.append(None)
        else:
            return payloads


def _add_plain(events: Events, values: list[Any], first: int) -> None:
    """Append a run of Kinesis records that are one object each."""
    events.values += values
    events.records += range(first, first + len(values))
    events.subs += repeat(0, len(values))


def _add(events: Events, rejections: list[Rejection], record: int, items: list[Item]) -> None:
    """Append the user records of one Kinesis record, each under its flat index."""
    if set(map(type, items)) == {dict}:
        events.values += items  # type: ignore[arg-type]
        events.records += repeat(record, len(items))
        events.subs += range(len(items))
        return
    for sub, item in enumerate(items):
        if isinstance(item, Refusal):
            rejections.append(_rejection(record, sub, Rejected(item.reason, item.message), item.payload))
        else:
            events.values.append(item)
            events.records.append(record)
            events.subs.append(sub)


def _rejection(record: int, sub: int | None, error: Rejected, payload: bytes | None) -> Rejection:
    return Rejection(record, sub, "decode", "decode", error.reason, error.message, payload)
