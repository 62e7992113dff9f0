"""`Warehouse` through the Redshift Data API: for loads that may take longer than a function may run.

    what runs: how does it stand? ─► ledger ─► manifest ─► note it ─► submit ─► note its id ─► look again, now or later

A load is one batch of statements, which is one transaction; it goes on while no function runs, and is not cancelled at
the end of an invocation. One load of a sink is under way at a time; the memory says which. Nothing rests on that: a
batch that loads what the ledger knows fails, whoever submitted it, however often.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.data_api_client import Clock, DataApi, NotSubmitted, Statement
from aetherstream.loader.data_api_ledger import DataApiLedger
from aetherstream.loader.data_api_sql import batch, fitting, load_errors, refused, spelled
from aetherstream.loader.failures import Refused, details, named, of_copy, translated
from aetherstream.loader.memory import LoadMemories, LoadMemory, Running, after_success, with_faults
from aetherstream.loader.parts import CopyFailed, Detail, Entry, Load, Loaded, Staged, Totals
from aetherstream.warehouse.ddl import Differences
from aetherstream.warehouse.options import LoadTarget

_log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a call waits for the load that it submitted; then it leaves it alone."""
COURTESY = 10.0
"""Seconds that a call waits for a load that another one has submitted, before its objects have to come again."""
_CONFLICTS = 3
"""Times that one call submits a load again that met another transaction."""
_FRUITLESS = 12
"""Loads of one call that may fail without a word on who is at fault; enough to find one object among a thousand."""
_WRITES = 5
"""Attempts at a small change of the memory."""
_LATE = (0.0, 0.5, 2.0)
"""Seconds until the details of a failed COPY are asked for, again and again."""
_SLACK = 120
"""Seconds by which the clocks may differ, and a statement wait."""


@dataclass(slots=True)
class _Call:
    """One call of `load`."""

    load: Load
    due: float
    submitted: str = ""
    """Id of the load that this call submitted last, itself or for somebody who did not come to it."""
    number: int = 0
    """How many it has submitted."""
    ours: set[str] = field(default_factory=set)
    """Ids of the loads that this call has seen to succeed."""
    conflicts: int = 0
    fruitless: int = 0
    """Loads that failed without a word on who is at fault."""
    cause: str = ""
    """What the last one failed for."""

    def next_id(self) -> str:
        """An id in the ledger, which one batch alone has."""
        self.number += 1
        return self.load.id if self.number == 1 else f"{self.load.id}.{self.number}"


class _Settled(NamedTuple):
    """What becomes of the memory when a load is over, and what is to be told then."""

    item: LoadMemory
    trouble: Retryable | ConfigurationError | None = None
    loaded: bool = False


class DataApiWarehouse:
    """The table of one sink and its ledger. Used by one thread at a time."""

    def __init__(
        self,
        target: LoadTarget,
        api: DataApi,
        memories: LoadMemories,
        key: str,
        *,
        clock: Clock = time.monotonic,
        now: Clock = time.time,
        sleep: Callable[[float], object] = time.sleep,
        patience: float = PATIENCE,
    ) -> None:
        """`key`: of the item in `memories`; `clock`: monotonic seconds; `now`: epoch seconds."""
        self._target = target
        self._api = api
        self._memories = memories
        self._key = key
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._patience = patience
        self._ledger = DataApiLedger(target.contract, api, clock=clock, sleep=sleep)

    # -- Loads ---------------------------------------------------------------------------------------------------------

    def load(self, load: Load, seconds: float, /) -> Loaded:
        """See `Warehouse.load`; but what it began goes on. Raises CopyFailed of loads that ended before, too."""
        call = _Call(load, self._clock() + seconds)
        while True:
            item = self._memories.read(self._key)
            if item.running is not None:
                waiting = self._attend(call, item, item.running)
                if waiting:
                    return Loaded(waiting=waiting)
                continue
            done = self._outcome(call)
            rest = [staged for staged in load.objects if staged.location not in {*done.fresh, *done.known}]
            if not rest:
                return done
            if failed := self._accused(item, rest):
                if done.fresh:  # an exception would not tell of them
                    return replace(done, waiting="objects that failed are set aside next")
                raise failed
            if call.fruitless and self._is_pointless(call, item, rest):
                raise Retryable(call.cause)
            if self._clock() >= call.due:
                return replace(done, waiting="no time was left to submit the load")
            self._submit(call, item, rest)

    def _outcome(self, call: _Call) -> Loaded:
        """What the ledger says of the objects of a call."""
        known = self._ledger.known([staged.location for staged in call.load.objects], call.due)
        fresh = {where for where, entry in known.items() if entry.load in call.ours and entry.state == "loaded"}
        rows = sum(known[where].rows for where in fresh)
        return Loaded(frozenset(fresh), {where: entry for where, entry in known.items() if where not in fresh}, rows)

    def _accused(self, item: LoadMemory, rest: Sequence[Staged]) -> CopyFailed | None:
        """The objects of which it is known that they can't be loaded, as one failure."""
        found = [fault.detail for staged in rest if (fault := item.faults.get(staged.location)) and fault.sure]
        if not found:
            return None
        return CopyFailed(f"{self._name}: COPY: objects were refused, the first for: {found[0]}", found)

    def _is_pointless(self, call: _Call, item: LoadMemory, rest: Sequence[Staged]) -> bool:
        """Whether to go on later: whatever is tried fails, or everything that is left has failed alone."""
        suspects = [fault for staged in rest if (fault := item.faults.get(staged.location))]
        only_suspects = len(suspects) == len(rest) and not any(fault.again for fault in suspects)
        return call.fruitless >= _FRUITLESS or only_suspects

    def _submit(self, call: _Call, item: LoadMemory, rest: Sequence[Staged]) -> None:
        """Note what is going to be submitted, submit it, note its id."""
        chosen = self._choose(item, rest)
        manifest = call.load.put_manifest(chosen)
        running = Running(call.next_id(), uuid4().hex, manifest, tuple(chosen), self._now())
        self._sqls(running)  # what can't be said is found before it is noted
        noted = item.next(running=running)
        if self._write(noted):
            call.submitted = running.load
            self._send(noted, running, again=False)

    def _choose(self, item: LoadMemory, rest: Sequence[Staged]) -> list[Staged]:
        """The objects of the next load: suspects last, and each alone."""
        ordered = sorted(rest, key=lambda staged: (not _has_a_chance(item, staged), staged.location))
        free = [staged for staged in ordered if staged.location not in item.faults]
        most = min(item.most or self._target.objects, self._target.objects) if free else 1
        return fitting(free or ordered, most)

    def _sqls(self, running: Running) -> list[str]:
        return batch(self._target, running.load, running.objects, running.manifest)

    def _send(self, item: LoadMemory, running: Running, *, again: bool) -> None:
        """Submit what is noted. Where nobody knows whether it was, the note stays, and its token.

        `again`: somebody may have submitted it before. Then a refusal says nothing of that; one for good, as where a
        new version of the pipeline would say it in other words, ends the note all the same: the ledger keeps order.
        """
        try:
            statement = self._api.submit(self._sqls(running), running.token, running.load)
        except NotSubmitted:
            if not again:
                self._write(item.next(running=None))
            raise
        except ConfigurationError as error:
            self._write(item.next(running=None))
            if not again:
                raise
            _log.warning("%s: the load %s can't be submitted again: %s", self._name, running.load, error)
        else:
            self._write(item.next(running=replace(running, statement=statement)))

    # -- A load that runs ----------------------------------------------------------------------------------------------

    def _attend(self, call: _Call, item: LoadMemory, running: Running) -> str:
        """See to the load that is noted: submit it where that is not known, and settle it when it is over.

        Returns what the call has to wait for; empty: look at the memory again. Raises what the load failed for.
        """
        if not running.statement:
            call.submitted = running.load
            self._send(item, running, again=True)
            return ""
        patience = self._patience if running.load == call.submitted else min(self._patience, COURTESY)
        found = self._api.wait(running.statement, min(call.due, self._clock() + patience))
        if found.state == "running":
            return f"the load {running.load} runs in the warehouse since {_iso(running.since)}"
        settled = self._settle(item, running, found, call)
        if not self._write(settled.item):
            return ""  # somebody else has settled it
        if settled.trouble is not None:
            _log.warning("%s: the load %s failed: %s", self._name, running.load, settled.trouble)
            raise settled.trouble
        if settled.loaded:
            call.ours.add(running.load)
            call.fruitless = 0
        return ""

    def _settle(self, item: LoadMemory, running: Running, found: Statement, call: _Call) -> _Settled:
        over = item.next(running=None)
        if found.state == "finished" or (not found.refused and self._is_noted(running, call.due)):
            return _Settled(self._succeeded(over, running), loaded=True)
        if found.state == "gone":
            return _Settled(over)  # the ledger has told that it came to nothing
        return self._failed(over, running, found, call)

    def _is_noted(self, running: Running, due: float) -> bool:
        """Whether the ledger has the load: what was lost was only the word of it."""
        first = running.objects[0].location
        entry = self._ledger.known([first], due).get(first)
        return entry is not None and entry.load == running.load

    def _succeeded(self, over: LoadMemory, running: Running) -> LoadMemory:
        """Larger loads again; and whoever failed alone before gets one more chance."""
        loaded = {staged.location for staged in running.objects}
        most = over.most * 2 if over.most else 0
        return replace(over, most=most if most < self._target.objects else 0, faults=after_success(over, loaded))

    def _failed(self, over: LoadMemory, running: Running, found: Statement, call: _Call) -> _Settled:
        said = refused(found.error, found.step or "load")
        if found.step == "noted":
            return _Settled(over, self._not_noted())
        if found.step == "count":
            words = f"{self._name}: COPY read another number of rows than the metadata of its objects say"
            return _Settled(self._narrowed(over, running, [], words, call))
        # Guarded: the ledger knows some of the objects by now.
        if (said.kind == "conflict" or found.step == "guard") and call.conflicts < _CONFLICTS:
            call.conflicts += 1
            return _Settled(over)
        if found.step != "COPY":
            return _Settled(over, translated(said, self._target.contract, said.doing))
        meant = of_copy(said, self._target.contract)
        if not isinstance(meant, CopyFailed):
            return _Settled(over, meant)
        details_ = self._details(said, running, call.due)
        return _Settled(self._narrowed(over, running, details_, meant.message, call))

    def _narrowed(
        self, over: LoadMemory, running: Running, found: Sequence[Detail], words: str, call: _Call
    ) -> LoadMemory:
        """What is known of who is at fault: as Redshift says, or half as many objects next."""
        if found:
            by_location = {detail.location: detail for detail in reversed(found)}
            return replace(over, faults=with_faults(over, by_location, sure=True))
        call.fruitless += 1
        call.cause = words
        if len(running.objects) > 1:
            return replace(over, most=len(running.objects) // 2)
        alone = running.objects[0].location
        # Others have loaded in this very call: the world is not at fault.
        faults = with_faults(over, {alone: Detail(alone, words)}, sure=bool(call.ours))
        return replace(over, most=1, faults=faults)

    def _details(self, said: Refused, running: Running, due: float) -> list[Detail]:
        """Redshift's reasons, of the objects of this load; none where it can't be asked for them."""
        if "load_error" not in said.text:
            return named(said, running.objects)
        try:
            for pause in _LATE:
                self._sleep(pause)
                ago = int(self._now() - running.since) + _SLACK
                rows = self._api.ask(spelled(load_errors(self._target, ago)), due)
                if found := details(rows, running.objects):
                    return found
        except (Refused, Retryable) as error:
            _log.warning("%s: the details of a failed COPY can't be read: %s", self._name, error)
        return named(said, running.objects)

    def _not_noted(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._name} is not noted in the ledger as this pipeline keeps it: run `aetherstream redshift apply`"
        )

    def _write(self, item: LoadMemory) -> bool:
        """Whether the item is stored; not: somebody else was quicker."""
        item = replace(item, by=uuid4().hex)
        stored = self._memories.write(item)
        return stored is None or stored == item  # the answer to a first attempt of it may have been lost

    @property
    def _name(self) -> str:
        return f"{self._target.contract.schema}.{self._target.contract.table}"

    def _drop_faults(self, locations: set[str]) -> None:
        """Objects that the ledger has, or that get a new chance, are no faults any more."""
        for _ in range(_WRITES):
            item = self._memories.read(self._key)
            if locations.isdisjoint(item.faults):
                return
            kept = {where: fault for where, fault in item.faults.items() if where not in locations}
            if self._write(item.next(faults=kept)):
                return
        raise Retryable(f"{self._name}: the memory of its loads is written all the time")

    # -- The ledger and the table --------------------------------------------------------------------------------------

    def set_aside(self, failed: Mapping[Staged, str], load: str, seconds: float, /) -> None:
        """See `Warehouse.set_aside`."""
        self._ledger.set_aside(failed, load, self._clock() + seconds)
        self._drop_faults({staged.location for staged in failed})

    def failures(self, seconds: float, /) -> list[Entry]:
        """See `Warehouse.failures`."""
        return self._ledger.failures(self._clock() + seconds)

    def forget(self, locations: Collection[str], seconds: float, /) -> int:
        """See `Warehouse.forget`."""
        self._drop_faults(set(locations))
        return self._ledger.forget(locations, self._clock() + seconds)

    def known(self, locations: Collection[str], seconds: float, /) -> dict[str, Entry]:
        """See `Warehouse.known`."""
        return self._ledger.known(locations, self._clock() + seconds)

    def totals(self, seconds: float, /) -> Totals:
        """See `Warehouse.totals`."""
        return self._ledger.totals(self._clock() + seconds)

    def compare(self, seconds: float, /) -> Differences:
        """See `Warehouse.compare`."""
        return self._ledger.compare(self._clock() + seconds)

    def apply(self, found: Differences, seconds: float, /) -> list[str]:
        """See `Warehouse.apply`."""
        return self._ledger.apply(found, self._clock() + seconds)

    def close(self) -> None:
        """See `Warehouse.close`: there is nothing."""


def _has_a_chance(item: LoadMemory, staged: Staged) -> bool:
    fault = item.faults.get(staged.location)
    return fault is None or fault.again


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
