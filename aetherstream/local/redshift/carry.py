"""A COPY carried out inside the client's own transaction: objects from S3 into the embedded server's COPY FROM STDIN.

What it met is recorded on a connection of its own, so that it can be asked for after the transaction is rolled back.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from aetherstream.local.redshift import wire
from aetherstream.local.redshift.catalog import begin_copy, columns_query, end_copy, record_error, record_load
from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.errors import CopyFailed, SpectrumError, StandInError
from aetherstream.local.redshift.load import BadRow, Loaded, Objects, Rows, chosen_columns
from aetherstream.local.redshift.parquet import ParquetRows
from aetherstream.local.redshift.postgres import Postgres
from aetherstream.local.redshift.rules import Column
from aetherstream.local.redshift.session import Session
from aetherstream.local.redshift.tables import columns_of
from aetherstream.local.redshift.translate import Statement
from aetherstream.local.redshift.wire import CHUNK, Message, Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Carrier:
    """Carries COPY statements out, for all sessions. Thread-safe."""

    def __init__(self, postgres: Postgres, s3: S3Client) -> None:
        self._postgres = postgres
        self._s3 = s3
        self._lock = threading.Lock()
        self._admin: Wire | None = None

    def __call__(self, session: Session, statement: Statement) -> None:
        """Carry out the COPY of `session`. Raises `StandInError`; the transaction then still has to fail."""
        assert statement.copy is not None  # noqa: S101 (sessions hand over nothing else)
        copy, server = statement.copy, session.server
        table, columns = _table(server, copy)
        chosen = chosen_columns(copy, columns)
        ((query, _),) = server.ask(begin_copy())
        number = int(query or 0)
        loaded = Loaded()
        try:
            objects = Objects(self._s3, copy)
            rows_of = _reader(copy, chosen, objects)
            places = objects.places()
            with _Stream(server, copy, chosen) as stream:
                for place in places:
                    _stop_if_unwanted(session, number)
                    rows, size = rows_of(place)
                    before = stream.rows
                    for row in rows:
                        stream.add(row)
                        if stream.rows % 1000 == 0:
                            _stop_if_unwanted(session, number)
                    loaded.files.append((place, stream.rows - before, size))
        except BadRow as bad:
            self._record(record_error(number, session.pid, table, bad))
            self._record(record_load(number, session.pid, copy, loaded, "failed"))
            if copy.parquet:
                raise SpectrumError(f"{bad.why.reason}, File name: {bad.file}") from bad
            name = _plain(copy.table)
            raise CopyFailed(
                f"Load into table '{name}' failed.  Check 'sys_load_error_detail' system table for details."
            ) from bad
        except StandInError:
            self._record(record_load(number, session.pid, copy, loaded, "failed"))
            raise
        count = 0 if copy.no_load else loaded.rows
        server.ask(end_copy(count))
        self._record(record_load(number, session.pid, copy, loaded, "completed"))
        told = f"Load into table '{_plain(copy.table)}' completed, {count} record(s) loaded successfully."
        session.client.sendall(
            wire.error({"S": "INFO", "C": "00000", "M": told}, b"N").packed()
            + Message(b"C", f"COPY {count}".encode() + b"\0").packed()
        )

    def close(self) -> None:
        """Give its own connection back."""
        with self._lock:
            admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

    def _record(self, sql: str) -> None:
        with self._lock:
            try:
                if self._admin is None:
                    self._admin = self._postgres.admin()
                self._admin.ask(sql)
            except OSError as error:
                self._admin = None
                raise StandInError("57P01", f"the embedded server is gone: {error}") from error


class _Stream:
    """Rows on their way into COPY FROM STDIN: committed to the transaction at the end, taken back on an exception."""

    def __init__(self, server: Wire, copy: Copy, columns: list[Column]) -> None:
        self._server = server
        # NOLOAD checks only; what is checked here is all that it would check.
        self._discard = copy.no_load
        self._target = f"{copy.table} {columns_of([column.name for column in columns])}"
        self._buffer: list[str] = []
        self._size = 0
        self.rows = 0

    def __enter__(self) -> _Stream:
        if not self._discard:
            self._server.send(wire.query(f"COPY {self._target} FROM STDIN"))
            self._until(b"G")
        return self

    def add(self, row: str) -> None:
        """One row. Raises `StandInError` when the server has ended the COPY."""
        self.rows += 1
        self._buffer.append(row)
        self._size += len(row)
        if self._size >= CHUNK:
            self._flush()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._discard:
            return
        if error is None:
            self._flush()
            self._server.send(Message(b"c", b""))
            try:
                self._server.rest()
            except StandInError as refused:
                # The rules are to find everything before: this shows a gap in them, or a cancelled COPY.
                if refused.code == "57014":
                    raise
                raise CopyFailed(f"PostgreSQL refused what the stand-in took for loadable: {refused.message}") from None
        else:
            with contextlib.suppress(OSError):  # it may be the server that is gone
                self._server.send(Message(b"f", b"the stand-in gave up\0"))
                while self._server.next().code != b"Z":
                    pass

    def _flush(self) -> None:
        if self._buffer and not self._discard:
            try:
                self._server.send(Message(b"d", "".join(self._buffer).encode()))
            except OSError:
                self._server.rest()  # its last words, if it had any
                raise
        self._buffer.clear()
        self._size = 0

    def _until(self, code: bytes) -> None:
        while (message := self._server.next()).code != code:
            if message.code == b"E":
                fields = wire.error_fields(message.body)
                self._server.rest()
                raise StandInError(fields.get("C", "XX000"), fields.get("M", ""), fields.get("D", ""))


def _reader(copy: Copy, columns: list[Column], objects: Objects) -> Callable[[str], tuple[Iterator[str], int]]:
    """Gives the rows of an object and its size as it is stored, and raises what they raise."""
    if copy.parquet:
        columnar = ParquetRows(copy, columns)

        def of_columns(place: str) -> tuple[Iterator[str], int]:
            content = objects.content(place)
            return columnar.of(place, content), len(content)

        return of_columns
    rows = Rows(copy, columns, objects.paths(columns))

    def of_lines(place: str) -> tuple[Iterator[str], int]:
        lines, size = objects.lines(place)
        return rows.of(place, lines), size

    return of_lines


def _table(server: Wire, copy: Copy) -> tuple[int, list[Column]]:
    try:
        found = server.ask(columns_query(copy.table))
    except StandInError as error:
        if error.code in ("42P01", "3F000"):
            raise CopyFailed(f"Cannot COPY into nonexistent table {_plain(copy.table)}") from error
        raise
    columns = [
        Column(str(name), str(kind), required == "t", default == "t", identity == "t")
        for name, kind, required, default, identity, _ in found
    ]
    return int(found[0][5] or 0), columns


def _stop_if_unwanted(session: Session, number: int) -> None:
    with contextlib.suppress(BlockingIOError):
        if not session.client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            raise ConnectionError("the client went away in its COPY")
    if session.cancelled.is_set():
        raise StandInError("57014", f"Query ({number}) cancelled on user's request")


def _plain(table: str) -> str:
    return table.rpartition(".")[2].strip('"')
