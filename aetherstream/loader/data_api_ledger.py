"""The ledger and the table through the Data API: questions, and the small changes whose end is waited for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from aetherstream.errors import Retryable
from aetherstream.loader import catalogue
from aetherstream.loader.data_api_client import Clock, DataApi
from aetherstream.loader.data_api_sql import guard, printable, spelled, texts
from aetherstream.loader.failures import Refused, translated
from aetherstream.loader.ledger import LOADS, Ledger, Query, entry, totals
from aetherstream.loader.parts import Entry, Staged, Totals
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.ddl import Change, Differences

TRIES = 4
"""Most attempts at a transaction that meets another one."""
_PAUSE = 0.5
"""Seconds before the second attempt; doubled from attempt to attempt."""

_T = TypeVar("_T")


class DataApiLedger:
    """The ledger of one table, and the table's columns. Used by one thread at a time.

    Every method returns before `due`, by the clock, and raises Retryable and ConfigurationError.
    """

    def __init__(self, contract: Contract, api: DataApi, *, clock: Clock, sleep: Callable[[float], object]) -> None:
        self._contract = contract
        self._api = api
        self._clock = clock
        self._sleep = sleep
        self._ledger = Ledger(contract)

    def known(self, locations: Collection[str], due: float) -> dict[str, Entry]:
        """What the ledger says of objects."""

        def work() -> dict[str, Entry]:
            found: dict[str, Entry] = {}
            for sql in texts(self._ledger.known, list(locations)):
                for each in map(entry, self._api.ask(sql, due)):
                    # Loaded counts for more than set aside, should there ever be both.
                    if each.location not in found or each.state == "loaded":
                        found[each.location] = each
            return found

        return self._again("read the ledger", work, due)

    def failures(self, due: float) -> list[Entry]:
        """The objects that were set aside, the latest first."""
        return self._again("read the ledger", lambda: list(map(entry, self._ask(due)(self._ledger.failures()))), due)

    def totals(self, due: float) -> Totals:
        """Counts; nothing where there is no ledger."""

        def work() -> Totals:
            ask = self._ask(due)
            if LOADS not in catalogue.columns(self._contract, ask):
                return Totals()
            return totals(ask(self._ledger.totals()))

        return self._again("read the ledger", work, due)

    def set_aside(self, failed: Mapping[Staged, str], load: str, due: float) -> None:
        """Note objects as failed that the ledger does not know."""

        def work() -> None:
            known = self.known([staged.location for staged in failed], due)
            entries = [
                Entry(staged.location, staged.etag, "failed", load, 0.0, staged.rows or 0, printable(reason))
                for staged, reason in failed.items()
                if staged.location not in known
            ]
            # In as many transactions as there are statements: each is right by itself.
            for sql in texts(lambda part: self._ledger.add(load, part), entries):
                self._api.run([*self._in_turn(sql), guard(self._contract, load)], due)

        self._again("note what failed", work, due)

    def forget(self, locations: Collection[str], due: float) -> int:
        """Take objects out that were set aside; how many there were."""

        def work(sql: str) -> int:
            return max(0, self._api.run(self._in_turn(sql), due)[-1])  # AWS: -1 where it is not known

        statements = texts(self._ledger.forget, list(locations))
        return sum(self._again("change the ledger", partial(work, sql), due) for sql in statements)

    def compare(self, due: float) -> Differences:
        """What the schema lacks."""
        return self._again("look at the table", lambda: catalogue.compare(self._contract, self._ask(due)), due)

    def apply(self, found: Differences, due: float) -> list[str]:
        """Make what the schema lacks; what somebody else makes meanwhile is theirs."""

        def make(change: Change) -> bool:
            return self._again(change.text, partial(self._made, change, due), due)

        return catalogue.apply(self._contract, found, make, partial(self.compare, due))

    @property
    def _name(self) -> str:
        return f"{self._contract.schema}.{self._contract.table}"

    def _ask(self, due: float) -> catalogue.Ask:
        def ask(query: Query) -> Sequence[Sequence[Any]]:
            return self._api.ask(spelled(query), due)

        return ask

    def _in_turn(self, sql: str) -> list[str]:
        return [spelled(self._ledger.lock()), spelled(self._ledger.raise_turn()), sql]

    def _made(self, change: Change, due: float) -> bool:
        """Whether it was made here."""
        try:
            self._api.do(change.statement, due)
        except Refused as refused:
            if refused.kind == "exists":
                return False
            raise
        return True

    def _again(self, doing: str, work: Callable[[], _T], due: float) -> _T:
        """Do it, once more where it met another transaction, or where the ledger has changed meanwhile."""
        pause = _PAUSE
        for attempt in range(1, TRIES + 1):
            try:
                return work()
            except Refused as refused:
                found = translated(refused, self._contract, doing)
                met = refused.kind == "conflict" or refused.doing == "guard"
                if not met or attempt == TRIES or self._clock() + pause >= due:
                    raise found from refused
            self._sleep(pause)
            pause *= 2
        raise Retryable(f"{self._name}: {doing}: no attempt was made")
