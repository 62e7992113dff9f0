"""Beginning the parts of a unit, and counting what they come to, each in the write that commits it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aetherstream.aggregation import ShardCommit
from aetherstream.delivery.progress import Suspect
from aetherstream.errors import Retryable
from aetherstream.recovery.lease import HeldLease
from aetherstream.recovery.redrive_report import RedriveReport


class Parts:
    """The parts of a redrive, one after the other."""

    def __init__(
        self,
        lease: HeldLease,
        report: RedriveReport,
        *,
        sinks: Sequence[str],
        seconds_left: Callable[[], float],
        shortest: float,
    ) -> None:
        """`sinks`: those whose events are counted; `shortest`: seconds without which no part is begun."""
        self._lease = lease
        self._report = report
        self._sinks = sinks
        self._seconds_left = seconds_left
        self._shortest = shortest
        self._counted: dict[str, int] = {}
        self._begun = False
        self._commit: ShardCommit | None = None

    def begin(self, at: Suspect) -> int:
        """Begin a part under a number of its own, which is returned, and call the part before done.

        Raises Retryable where little time is left: the end of the function's time would look like the record's fault.
        """
        if (left := self._seconds_left()) < self._shortest:
            raise Retryable(f"less than {self._shortest:g} s were left ({left:.0f} s): do it again")
        if self._begun:
            commit = self._taken()
            self._lease.commit(self._rest(), at, commit)
            if commit is not None:
                commit.fold()
        else:
            self._lease.begin(at)
        self._begun = True
        return self._lease.number

    def adds(self, commit: ShardCommit | None) -> None:
        """Say what the part adds to the aggregates: committed by the write that calls it done, and folded after it."""
        self._commit = commit

    def finish(self, passed: Sequence[str]) -> None:
        """Call the last part done, and give the lease back; `passed`: see `HeldLease.finish`.

        Raises Retryable, also where the part is done but not folded: what comes next folds it.
        """
        commit = self._taken()
        self._lease.finish(self._rest(), passed, commit)
        if commit is not None:
            commit.fold()

    def _taken(self) -> ShardCommit | None:
        commit, self._commit = self._commit, None
        return commit

    def _rest(self) -> dict[str, int]:
        """What has not been counted yet."""
        now = self._report.totals(self._sinks)
        more = {name: count - self._counted.get(name, 0) for name, count in now.items()}
        self._counted = now
        return {name: count for name, count in more.items() if count}
