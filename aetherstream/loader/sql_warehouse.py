"""`Warehouse` over a connection: each load one transaction, which begins with the ledger's lock.

    lock, raise the turn ─► ledger ─► manifest ─► stage, COPY, count ─► dedupe, merge ─► ledger rows ─► commit

An outcome that nobody knows is settled by doing it again: the ledger tells what was done.
"""

from __future__ import annotations

import logging
import random as random_module
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader import catalogue
from aetherstream.loader.connection import Clock, Connect, Connection, Kept
from aetherstream.loader.failures import Lost, Refused, details, named, of_copy, translated
from aetherstream.loader.ledger import LOADS, TABLES, Ledger, Query, entry, totals
from aetherstream.loader.parts import CopyFailed, Detail, Entry, Load, Loaded, Staged, Totals
from aetherstream.warehouse.ddl import Change, Differences
from aetherstream.warehouse.options import LoadTarget
from aetherstream.warehouse.sql import ObjectRef, copy, create_stage, deduplicate, drop_stage, merge

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

TRIES = 6
"""Most attempts of one call."""
_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
"""Seconds; each pause is at random, up to twice the one before."""
_DETAILS_SECONDS = 10.0
_DETAILS_LATE = (0.0, 0.5, 2.0)
"""Pauses before the details of a failed COPY are asked for: Redshift may write them late."""


class SqlWarehouse:
    """The table of one sink and its ledger. Used by one thread at a time."""

    def __init__(
        self,
        target: LoadTarget,
        connect: Connect,
        *,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random_module.random,
        tries: int = TRIES,
    ) -> None:
        """Nothing is asked yet. `connect`: of `aetherstream.loader.entry.connector`; `clock`: monotonic seconds."""
        self._target = target
        self._contract = target.contract
        self._ledger = Ledger(target.contract)
        self._kept = Kept(connect, clock)
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._tries = tries

    def load(self, load: Load, seconds: float, /) -> Loaded:
        """See `Warehouse.load`."""
        return self._again(lambda connection, attempt: self._load(connection, load, attempt), seconds)

    def set_aside(self, failed: Mapping[Staged, str], load: str, seconds: float, /) -> None:
        """See `Warehouse.set_aside`."""

        def work(connection: Connection, _: int) -> None:
            self._take_turn(connection)
            known = self._known(connection, [staged.location for staged in failed])
            entries = [
                Entry(staged.location, staged.etag, "failed", load, 0.0, staged.rows or 0, reason)
                for staged, reason in failed.items()
                if staged.location not in known
            ]
            for query in self._ledger.add(load, entries):
                _step(connection, "note what failed", query)
            connection.commit()

        self._again(work, seconds)

    def failures(self, seconds: float, /) -> list[Entry]:
        """See `Warehouse.failures`."""
        return self._again(lambda connection, _: list(map(entry, _ask(connection)(self._ledger.failures()))), seconds)

    def forget(self, locations: Collection[str], seconds: float, /) -> int:
        """See `Warehouse.forget`."""

        def work(connection: Connection, _: int) -> int:
            self._take_turn(connection)
            count = sum(connection.change(query) for query in self._ledger.forget(locations))
            connection.commit()
            return count

        return self._again(work, seconds)

    def known(self, locations: Collection[str], seconds: float, /) -> dict[str, Entry]:
        """See `Warehouse.known`."""
        return self._again(lambda connection, _: self._known(connection, locations), seconds)

    def totals(self, seconds: float, /) -> Totals:
        """See `Warehouse.totals`."""

        def work(connection: Connection, _: int) -> Totals:
            ask = _ask(connection)
            if LOADS not in catalogue.columns(self._contract, ask):
                return Totals()
            return totals(ask(self._ledger.totals()))

        return self._again(work, seconds)

    def compare(self, seconds: float, /) -> Differences:
        """See `Warehouse.compare`."""
        return self._again(lambda connection, _: catalogue.compare(self._contract, _ask(connection)), seconds)

    def apply(self, found: Differences, seconds: float, /) -> list[str]:
        """See `Warehouse.apply`; what somebody else makes meanwhile is theirs."""
        due = self._clock() + seconds

        def make(change: Change) -> bool:
            return self._again(partial(_made, change), due - self._clock())

        return catalogue.apply(self._contract, found, make, lambda: self.compare(due - self._clock()))

    def close(self) -> None:
        """Give the connection up; the next call makes another."""
        self._kept.close()

    @property
    def _name(self) -> str:
        return f"{self._contract.schema}.{self._contract.table}"

    def _load(self, connection: Connection, load: Load, attempt: int) -> Loaded:
        self._take_turn(connection)
        known = self._known(connection, [staged.location for staged in load.objects])
        # An attempt before, whose commit nobody answered.
        own = {
            where for where, found in known.items() if attempt > 1 and (found.load, found.state) == (load.id, "loaded")
        }
        fresh = [staged for staged in load.objects if staged.location not in known]
        if fresh:
            rows = self._bring(connection, load, fresh)
            connection.commit()
        else:
            rows = sum(known[where].rows for where in own)
        return Loaded(
            frozenset(own.union(staged.location for staged in fresh)),
            {where: found for where, found in known.items() if where not in own},
            rows,
        )

    def _bring(self, connection: Connection, load: Load, fresh: Sequence[Staged]) -> int:
        """Everything between the ledger's check and the commit; returns the rows that COPY read."""
        contract = self._contract
        manifest = load.put_manifest(fresh)
        _step(connection, "make the stage", create_stage(contract))
        rows = self._copy(connection, fresh, manifest)
        for sql in deduplicate(contract):
            _step(connection, "remove duplicates", sql)
        for sql in merge(contract, self._target.style):
            _step(connection, "bring the rows into the table", sql)
        counted = _counted(fresh, rows)
        entries = [Entry(each.location, each.etag, "loaded", load.id, 0.0, counted[each.location]) for each in fresh]
        for query in self._ledger.add(load.id, entries):
            _step(connection, "note what was loaded", query)
        for sql in drop_stage():
            _step(connection, "drop the stage", sql)
        return rows

    def _copy(self, connection: Connection, fresh: Sequence[Staged], manifest: ObjectRef) -> int:
        target = self._target
        statement = copy(
            target.contract,
            manifest,
            role=target.copy_role,
            compression=fresh[0].compression,
            region=target.bucket_region,
        )
        began = self._clock()
        try:
            connection.run(statement)
        except Refused as refused:
            refused.doing = "COPY"
            if refused.kind == "conflict":
                raise
            found = of_copy(refused, target.contract)
            if isinstance(found, CopyFailed):
                connection.rollback()
                found = CopyFailed(found.message, self._details(connection, refused, fresh, self._clock() - began))
            raise found from refused
        ((count,),) = connection.run("SELECT pg_last_copy_count()")
        rows, said = int(count), [staged.rows for staged in fresh]
        if None not in said and rows != sum(filter(None, said)):
            raise CopyFailed(
                f"{self._name}: COPY read {rows} rows of {len(fresh)} objects, whose metadata say"
                f" {sum(filter(None, said))}: nothing was loaded"
            )
        return rows

    def _details(self, connection: Connection, refused: Refused, fresh: Sequence[Staged], ago: float) -> list[Detail]:
        """Redshift's reasons, of these objects, since the COPY began; none where it can't be asked for them."""
        if "sys_load_error_detail" not in refused.text and "stl_load_errors" not in refused.text:
            return named(refused, fresh)
        try:
            for pause in _DETAILS_LATE:
                self._sleep(pause)
                rows = connection.run(_DETAILS.format(int(ago + pause) + 3))
                connection.rollback()
                if found := details(rows, fresh):
                    return found
        except (Lost, Refused) as error:
            _log.warning("%s: the details of a failed COPY can't be read: %s", self._name, error)
        return named(refused, fresh)

    def _known(self, connection: Connection, locations: Collection[str]) -> dict[str, Entry]:
        rows = [row for query in self._ledger.known(locations) for row in _step(connection, "read the ledger", query)]
        found: dict[str, Entry] = {}
        for each in map(entry, rows):
            # Loaded counts for more than set aside, should there ever be both.
            if each.location not in found or each.state == "loaded":
                found[each.location] = each
        return found

    def _take_turn(self, connection: Connection) -> None:
        _step(connection, "wait for the load before", self._ledger.lock())
        try:
            touched = connection.change(self._ledger.raise_turn())
        except Refused as refused:
            refused.doing = "take a turn"
            raise
        if not touched:
            raise ConfigurationError(
                f"{self._name} is not noted in {self._contract.schema}.{TABLES}: run `aetherstream redshift apply`"
            )

    def _again(self, work: Callable[[Connection, int], _T], seconds: float) -> _T:
        """Do it, once more after a conflict or when the connection is lost; every attempt begins a new transaction."""
        due = self._clock() + seconds
        pause = _PAUSE
        for attempt in range(1, self._tries + 1):
            try:
                return self._once(work, attempt, due - self._clock())
            except Lost as lost:
                self._kept.lost()
                trouble = Retryable(f"{self._name}: {lost}")
            except Refused as refused:
                found = translated(refused, self._contract, refused.doing or "connect")
                if refused.kind != "conflict":
                    raise found from refused
                trouble = Retryable(str(found))
            rest = pause * self._random()
            pause = min(pause * 2, _LONGEST_PAUSE)
            if attempt == self._tries or self._clock() + rest >= due:
                break
            _log.info("%s: attempt %d: %s", self._name, attempt, trouble)
            self._sleep(rest)
        raise trouble

    def _once(self, work: Callable[[Connection, int], _T], attempt: int, seconds: float) -> _T:
        if seconds <= 0:
            raise Retryable(f"{self._name}: no time is left")
        connection = self._kept.get(seconds)
        try:
            return work(connection, attempt)
        finally:
            try:
                connection.rollback()
            except (Lost, Refused):
                self._kept.lost()


_DETAILS = (
    "SELECT file_name, column_name, column_type, line_number, error_message FROM sys_load_error_detail"
    " WHERE start_time >= GETDATE() - INTERVAL '{} seconds' ORDER BY start_time LIMIT 5000"
)


def _step(connection: Connection, doing: str, query: str | Query) -> list[Sequence[Any]]:
    try:
        return connection.run(query)
    except Refused as refused:
        refused.doing = doing
        raise


def _ask(connection: Connection) -> catalogue.Ask:
    return lambda query: _step(connection, "look at the table", query)


def _made(change: Change, connection: Connection, _: int) -> bool:
    """Whether it was made here."""
    try:
        connection.alone(change.statement)
    except Refused as refused:
        refused.doing = change.text
        if refused.kind == "exists":
            return False
        raise
    return True


def _counted(fresh: Sequence[Staged], rows: int) -> dict[str, int]:
    """Rows by object: what the metadata say; of a single object that says nothing, what is left."""
    silent = [staged for staged in fresh if staged.rows is None]
    left = rows - sum(staged.rows or 0 for staged in fresh) if len(silent) == 1 else 0
    return {staged.location: left if staged.rows is None else staged.rows for staged in fresh}
