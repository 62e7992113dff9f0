"""Numbered commits of one process: what completing a batch, a redrive and closing call.

The order is the protocol: `log`; `fold` what is pending; the commit, which raises the number in the progress item and
points at the log, on the condition that the number is still the one that was seen; `fold` it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.partials import Partial
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.apply import Applied, Budget, Declared, Stores, apply, look, remaining
from aetherstream.delivery.aggregates.log import MOST_INLINE, Log, get_log, log_key, read_log, write_log
from aetherstream.delivery.aggregates.memory import Memory
from aetherstream.delivery.aggregates.places import GroupPlace, Scope, WindowPlace, scope_of
from aetherstream.delivery.pending import Pending
from aetherstream.delivery.put import ObjectStore, put
from aetherstream.delivery.reader import ObjectReader
from aetherstream.errors import Retryable

OTHERS = 900
"""Seconds for which a log waits for a version that declares its aggregates. AWS: a function runs 15 minutes at most."""


def next_commit(seen: int, now: float) -> int:
    """The number of a commit, given the one in the progress item (0: none yet) and the time (epoch seconds).

    An item that begins anew (deleted by hand, say) begins with the milliseconds: a shard makes fewer than a thousand
    commits a second, so that number is higher than any that states have from before. They would be skipped else.
    """
    return seen + 1 if seen else int(now * 1000)


class Logs(NamedTuple):
    """Where redo logs are put and read."""

    objects: ObjectStore
    reader: ObjectReader
    bucket: str
    prefix: str
    most_inline: int = MOST_INLINE
    """Up to so many bytes a log stands in the progress item."""


class Commits:
    """The aggregates of one pipeline and stream, as one process works on them."""

    def __init__(
        self,
        owner: str,
        aggregates: Sequence[Aggregate],
        stores: Stores,
        logs: Logs,
        *,
        now: Callable[[], float],
        memory: Memory | None = None,
    ) -> None:
        """`owner`: pipeline and stream, for example `flights#events`; `now`: epoch seconds."""
        self._owner = owner
        self._aggregates = {aggregate.name: aggregate for aggregate in aggregates}
        self._declared = {one.name: Declared(one, scope_of(owner, one)) for one in aggregates}
        self._stores, self._logs, self._now = stores, logs, now
        self._memory = Memory() if memory is None else memory
        self._made: dict[str, tuple[Pending, Mapping[Key, Partial]]] = {}
        """By shard: the last log that this process has written; it need not be read again."""

    def known(
        self, shard: str, windows: Mapping[str, Collection[Window | None]]
    ) -> dict[str, dict[Window | None, set[str]]]:
        """The groups that windows are known to have in a shard, for `fold_all`; by aggregate.

        Those that this process remembers: a cold one counts from nothing, so a limit of groups bounds what one process
        adds to a window.
        """
        return {
            name: {window: self._memory.groups(self._place(name, window), shard) for window in some}
            for name, some in windows.items()
        }

    def gone(self, partials: Mapping[Key, Partial]) -> set[Key]:
        """Of which partials anything can't be folded, because states were removed after their windows were closed.

        To be asked before `log`: what is removed later, while the log waits, is left alone and counted.
        Raises Retryable, ConfigurationError.
        """
        now = self._now()
        places = {key: self._place(key.aggregate, key.window) for key in partials}
        marks = look(dict.fromkeys(places.values()), self._stores.windows, self._memory, now)
        return {key for key, partial in partials.items() if remaining(partial, marks[places[key]], now)[1]}

    def log(self, shard: str, epoch: int, commit: int, partials: Mapping[Key, Partial]) -> Pending:
        """Write the log of the commit that is to come (`commit`: its number), under the epoch of a claim or redrive.

        Raises Superseded, Retryable, ConfigurationError.
        """
        data = write_log(self._aggregates, partials, epoch, int(self._now()))
        if len(data) <= self._logs.most_inline:
            pending = Pending(commit, inline=data)
        else:
            key = log_key(self._logs.prefix, shard, epoch)
            put(self._logs.objects, self._logs.bucket, key, data, {}, epoch)
            pending = Pending(commit, bucket=self._logs.bucket, key=key)
        self._made[shard] = (pending, partials)
        return pending

    def renumbered(self, shard: str, pending: Pending, commit: int) -> Pending:
        """The same log for another number: somebody else has committed since it was written."""
        made = self._made.get(shard)
        moved = replace(pending, commit=commit)
        if made is not None and made[0] == pending:
            self._made[shard] = (moved, made[1])
        return moved

    def is_folded(self, shard: str, pending: Pending | None) -> bool:
        """Whether this process knows that what is pending is folded."""
        return pending is None or self._memory.has_folded(shard, pending.commit)

    def fold(
        self,
        shard: str,
        pending: Pending | None,
        *,
        seconds_left: Callable[[], float] = lambda: float("inf"),
        longest: float = 0.0,
    ) -> Applied:
        """Fold what the progress item says is pending, unless this process knows that it is folded.

        Raises:
            Retryable: some groups may lack it: fold it again.
            ConfigurationError: also LogLost and UnreadableState.
        """
        if pending is None or self.is_folded(shard, pending):
            return Applied()
        made, undeclared = self._made.get(shard), 0
        if made is not None and made[0] == pending:
            partials = made[1]
        else:
            log = read_log(get_log(self._logs.reader, pending), self._aggregates)
            partials, undeclared = log.partials, self._undeclared(shard, pending, log)
        budget = Budget(self._now(), seconds_left, longest)
        applied = apply(pending.commit, shard, partials, self._declared, self._stores, self._memory, budget)
        self._memory.folded(shard, pending.commit)
        applied.undeclared = undeclared
        return applied

    def _undeclared(self, shard: str, pending: Pending, log: Log) -> int:
        """How many groups of a log lack it and can't have it, because their aggregates are no longer declared so.

        As long as a process that declares them may be at work, in a deploy or before it is rolled back, the log is its
        own to fold, and this one waits.
        """
        if not log.undeclared:
            return 0
        addresses = [
            GroupPlace(Scope(self._owner, key.aggregate, fingerprint), key).address(shard)
            for fingerprint, key in log.undeclared
        ]
        found = self._stores.states.read(addresses)
        lacking = sum(at not in found or found[at].k < pending.commit for at in addresses)
        if lacking and (age := self._now() - log.written) < OTHERS:
            raise Retryable(
                f"aggregates of {shard}: {lacking} groups of commit {pending.commit} belong to "
                f"{', '.join(sorted({key.aggregate for _, key in log.undeclared}))}, which another version of the "
                f"pipeline declares: it may fold them for another {OTHERS - age:.0f} s, then they are given up"
            )
        return lacking

    def next_number(self, seen: int) -> int:
        """`next_commit` now."""
        return next_commit(seen, self._now())

    def floor(self, aggregate: str) -> float | None:
        """Sessions of an aggregate that ended before this event time are forgotten; None: none are.

        Raises Retryable, ConfigurationError.
        """
        place = self._place(aggregate, None)
        return look([place], self._stores.windows, self._memory, self._now())[place].floor

    def place(self, key: Key) -> GroupPlace:
        """Where a group of a declared aggregate stands."""
        return GroupPlace(self._declared[key.aggregate].scope, key)

    def _place(self, aggregate: str, window: Window | None) -> WindowPlace:
        return WindowPlace(self._declared[aggregate].scope, window)
