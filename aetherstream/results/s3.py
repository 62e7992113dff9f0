"""Results in S3: compressed NDJSON objects of final rows, below a folder for the day on which their windows begin.

    <prefix>/day=2013-01-01/20130101T100000Z-<digest>.ndjson.gz

The name is that of the earliest window with a digest of the lines, so the same rows are the same object, however often
they come. What changes after closing makes further objects; nothing is replaced. Readers take the row with the greatest
`version` of each `id`, and leave those out that are `removed`, which every row says here:

    SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY version DESC) AS nth FROM results)
    WHERE nth = 1 AND NOT removed
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b

from aetherstream.delivery.put import Conflict, Missing, ObjectStore, PreconditionFailed
from aetherstream.errors import Rejected, Retryable
from aetherstream.objects import SUFFIX, Compression, compressor
from aetherstream.results.parts import Row, Sent
from aetherstream.results.rows import document, line, newest

_NO_EPOCH = 0
"""Equal rows have to be equal bytes, whoever writes them."""


class S3Outlet:
    """`Outlet` into objects below one prefix."""

    final_only = True

    def __init__(
        self,
        name: str,
        store: ObjectStore,
        bucket: str,
        prefix: str,
        *,
        compression: Compression = "gzip",
        level: int = 1,
        fields: Collection[str] | None = None,
    ) -> None:
        """`prefix`: without a slash at its end; `fields`: the outputs that go along, None: all."""
        self.name = name
        self._store = store
        self._bucket = bucket
        self._prefix = prefix
        self._suffix = SUFFIX[compression]
        self._compress = compressor(compression, level)
        self._fields = fields

    def send(self, rows: Sequence[Row], seconds_left: float, /) -> Sent:
        """See `Outlet.send`. What is stored already is left as it is."""
        refused: dict[str, Rejected] = {}
        days: dict[str, list[tuple[Row, bytes]]] = {}
        for row in sorted(newest(rows), key=lambda row: row.id):
            try:
                made = line({**document(row, self._fields), "removed": row.removed})
            except Rejected as error:
                refused[row.id] = error
                continue
            days.setdefault(row.window.id.partition("T")[0], []).append((row, made))
        if days and seconds_left <= 0:
            raise Retryable(f"{self.name}: no time left")
        for day, members in sorted(days.items()):
            self._put(day, members)
        return Sent(refused)

    def _put(self, day: str, members: Sequence[tuple[Row, bytes]]) -> None:
        lines = b"".join(made + b"\n" for _, made in members)
        first = min(row.window for row, _ in members).id.replace("-", "").replace(":", "")
        digest = blake2b(lines, digest_size=10).hexdigest()
        key = f"{self._prefix}/day={day}/{first}-{digest}.{self._suffix}"
        try:
            self._store.put(
                self._bucket,
                key,
                self._compress(lines, _NO_EPOCH),
                {"aether-count": str(len(members))},
                if_match=None,
            )
        except PreconditionFailed:
            return  # the same bytes: the key follows from them
        except (Conflict, Missing) as error:
            raise Retryable(f"{self.name}: s3://{self._bucket}/{key} is being written by somebody else") from error
