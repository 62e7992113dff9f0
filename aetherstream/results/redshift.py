"""Results into Redshift: rows are staged as objects, and loaded from there as events are.

An object is named by its bytes, so equal rows are the same object, and nobody changes one once it stands: the loader
takes it at once. The table keeps the row with the greatest version of each id, in whatever order objects are loaded
(`aetherstream.warehouse.sql`); a session that is no more stays in it as a row with `removed`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from aetherstream.delivery.put import ObjectStore
from aetherstream.errors import Rejected, Retryable
from aetherstream.objects import compressor, key_by_bytes
from aetherstream.records import Event
from aetherstream.results.parts import Row, Sent
from aetherstream.results.rows import document, newest
from aetherstream.warehouse.check import Table
from aetherstream.warehouse.options import LoadTarget

MOST_ROWS = 10_000
"""Rows of one object."""
_NO_EPOCH = 0
"""Equal rows have to be equal bytes, whoever writes them."""


class RedshiftOutlet:
    """`Outlet` into a table, by objects that wait for the loader."""

    final_only = False

    def __init__(
        self,
        target: LoadTarget,
        store: ObjectStore,
        *,
        fields: Collection[str] | None = None,
        level: int = 1,
        most_rows: int = MOST_ROWS,
    ) -> None:
        """`fields`: the outputs that go along, None: all; `level`: of the compression, in its own scale."""
        self.name = target.sink
        self._target = target
        self._store = store
        self._fields = fields
        self._most_rows = most_rows
        self._table = Table(target.contract)
        self._compress = compressor(target.compression, level)

    def send(self, rows: Sequence[Row], seconds_left: float, /) -> Sent:
        """See `Outlet.send`: whether a row is the newest is seen to when it is loaded. Refused is what would not load.

        Whatever is sent again is put again, so that it is announced again too.
        """
        # In an order of their own, so that the same rows are the same bytes.
        chosen = sorted(newest(rows), key=lambda row: row.id)
        found = [{**document(row, self._fields), "removed": row.removed} for row in chosen]
        refused = self._table.check(found)
        fit = [made for index, made in enumerate(found) if index not in refused]
        if fit and seconds_left <= 0:
            raise Retryable(f"{self.name}: no time is left")
        for start in range(0, len(fit), self._most_rows):
            self._put(fit[start : start + self._most_rows])
        return Sent({chosen[index].id: _told(error, chosen[index]) for index, error in refused.items()})

    def _put(self, rows: Sequence[Event]) -> None:
        body = self._compress(self._table.rows(rows, ()), _NO_EPOCH)
        key = key_by_bytes(self._target.staging, body)
        self._store.overwrite(self._target.staging.bucket, key, body, {"aether-count": str(len(rows))})


def _told(error: Rejected, row: Row) -> Rejected:
    return Rejected(error.reason, f"the result {row.id}: {error.message}")
