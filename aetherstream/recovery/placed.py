"""Records that are a part of a Kinesis record, decoded under the flat index that they had in the whole."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

from aetherstream.core import Decode
from aetherstream.records import Events, KinesisRecords, Rejection


class PlacedDecoder:
    """`Decode` for envelopes that hold the bytes of one user record alone.

    `subs[i]` is the flat index that the bytes of record `i` had in their Kinesis record; None: they are the whole
    record. Where the bytes turn out to be several user records (they could not be opened before), their indexes would
    be those of others, and the record is rejected.
    """

    def __init__(self, inner: Decode, subs: Sequence[int | None]) -> None:
        self._inner = inner
        self._subs = subs

    def decode(self, records: KinesisRecords, start: int, end: int, rejections: list[Rejection], /) -> Events:
        """See `aetherstream.core.Decode`."""
        found: list[Rejection] = []
        events = self._inner.decode(records, start, end, found)
        several = {
            record for record, sub in zip(events.records, events.subs, strict=True) if self._is_other(record, sub)
        }
        several |= {refused.record for refused in found if self._is_other(refused.record, refused.sub or 0)}
        for refused in found:
            if refused.record not in several:
                sub = self._subs[refused.record]
                rejections.append(refused if sub is None else replace(refused, sub=sub))
        for record in sorted(several):
            why = (
                "several user records",
                "the bytes of one user record hold several now: replay its whole Kinesis record",
            )
            rejections.append(Rejection(record, self._subs[record], "decode", "decode", *why))
        if several:
            events.keep([record not in several for record in events.records])
        subs = (self._subs[record] for record in events.records)
        events.subs = [now if sub is None else sub for now, sub in zip(events.subs, subs, strict=True)]
        return events

    def _is_other(self, record: int, sub: int) -> bool:
        return sub > 0 and self._subs[record] is not None

    def payloads(self, records: KinesisRecords, index: int, /) -> list[bytes] | None:
        """See `aetherstream.core.Decode`."""
        sub = self._subs[index]
        if sub is None:
            return self._inner.payloads(records, index)
        return [b""] * sub + [base64.b64decode(records.data[index])]
