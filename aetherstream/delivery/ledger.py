"""One process's view of the progress items: open a batch, claim it, complete it.

A warm process keeps the item that it wrote last, so the steady state costs two writes a batch (claim, complete) and no
read; a cold one finds the item by its first write failing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from aetherstream.delivery.commit import Commit
from aetherstream.delivery.progress import Attempt, Noted, Progress, ProgressStore, ended, is_crasher, next_attempt
from aetherstream.errors import ConfigurationError, Retryable, Superseded

_MIXED = "*"
"""Version of a key that attempts of several versions have noted: it differs from every version.

So does what an attempt writes that calls its record a crasher: the next one may know that it is none.
"""
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Opening:
    """How a batch stands before it is claimed."""

    item: Progress
    settled: int
    """How many of its first records earlier attempts have settled."""
    attempt: Attempt
    """The attempt to be claimed; its size says how many records it may take. Size 0: everything is settled."""
    noted: bool = False
    """Whether the item says that this attempt has begun: whoever begins after that came later."""


class Ledger:
    """The progress of the shards that this process works on: delivery `exactly_once`."""

    fenced = True
    """Whether puts carry the epoch of a claim."""

    def __init__(self, store: ProgressStore, process: str) -> None:
        self._store = store
        self._process = process
        self._known: dict[str, Progress] = {}
        self._begun: set[str] = set()
        """Keys under which the attempt at work has noted its start."""
        self._lives = 1

    def open(self, key: str, sequences: Sequence[str]) -> Opening:
        """Look at a batch (sortable sequence numbers, ascending); the first one of a shard in this process is noted.

        It is noted before anything is decoded, so that a record which kills the decoder is counted.
        """
        known = self._known.get(key)
        if known is not None:
            return self._opening(known, sequences)
        item = Progress(key)
        for _ in range(_TRIES):
            opening = self._opening(item, sequences)
            if opening.attempt.size == 0:
                return opening
            noted = replace(item, revision=item.revision + 1, attempt=opening.attempt)
            stored = self._write(noted)
            if stored is None:
                self._begun.add(key)
                return replace(opening, item=noted, noted=True)
            item = stored
        raise Retryable(f"progress of {key}: {_TRIES} writes in a row met another writer")

    def _opening(self, item: Progress, sequences: Sequence[str]) -> Opening:
        settled = bisect_right(sequences, item.completed)
        left = len(sequences) - settled
        if not left:
            return Opening(item, settled, replace(item.attempt, size=0))
        attempt = next_attempt(item, sequences[settled], left, self._process)
        return Opening(item, settled, attempt, noted=item.key in self._begun)

    def claim(self, opening: Opening, keys: Mapping[str, str], version: str) -> Progress | None:
        """Raise the epoch and note the keys (`bucket/key` → sortable first position) that this attempt may write.

        Returns the claimed item; None when the item had moved on, and the batch has to be opened again. Raises
        Superseded when a later attempt has moved it.
        """
        before = opening.item
        noted = dict(before.open)
        if is_crasher(opening.attempt):
            version = _MIXED
        for key, first in keys.items():
            known = noted.get(key)
            same = known is None or known.version == version
            noted[key] = Noted(first, version if same else _MIXED)
        item = replace(
            before, revision=before.revision + 1, epoch=before.epoch + 1, open=noted, attempt=opening.attempt
        )
        return item if self._is_first(opening, item) else None

    def finish(self, opening: Opening, completed: str, arrival: int, counters: Mapping[str, int]) -> bool:
        """Claim and complete in one write a batch that writes nothing; False when the item had moved on.

        Only for an opening whose item has no open keys: those would have to be emptied between claim and completion.
        """
        before = opening.item
        done = replace(
            before,
            revision=before.revision + 1,
            epoch=before.epoch + 1,
            completed=completed,
            completed_arrival=arrival,
            attempt=replace(opening.attempt, ended=True),
            counters=counters,
        )
        return self._is_first(opening, done)

    def complete(
        self,
        claimed: Progress,
        completed: str,
        arrival: int,
        counters: Mapping[str, int],
        commit: Commit | None = None,
    ) -> Progress:
        """Move the shard's mark to `completed`, if the epoch is still the claim's. Raises Superseded if it is not.

        `commit`: of the aggregates, made by the same write; what it raises propagates.
        """
        item = claimed
        for _ in range(_TRIES):
            mark = max(item.completed, completed)
            done = replace(
                item if commit is None else commit.upon(item),
                revision=item.revision + 1,
                completed=mark,
                completed_arrival=arrival if mark == completed else item.completed_arrival,
                open={key: noted for key, noted in item.open.items() if noted.first > mark},
                attempt=replace(claimed.attempt, ended=True),
                counters=counters,
            )
            stored = self._write(done)
            if stored is None:
                return done
            if stored.epoch != claimed.epoch:
                raise Superseded(
                    f"{item.key}: epoch {stored.epoch} has claimed the shard, this attempt is {claimed.epoch}"
                )
            item = stored  # a lease was renewed, say: the epoch is still ours
        raise Retryable(f"progress of {claimed.key}: {_TRIES} writes in a row met another writer")

    def give_up(self, key: str) -> None:
        """Note that the attempt ended by itself, with an error; where that fails, this process's next claim tells.

        A successor that has counted this attempt among the killed is told too.
        """
        self._begun.discard(key)
        # Forgotten at first: where nothing was written, what is known may be at fault, as after a reset by hand.
        item = self._known.pop(key, None)
        with suppress(Retryable, ConfigurationError):
            for _ in range(_TRIES):
                last = item and ended(item, self._process)
                item = last and self._write(last)
                if item is None:
                    break
        known = self._known.get(key)
        if known is not None and known.attempt.process != self._process:
            del self._known[key]  # a successor's: the next attempt notes its start before it goes on from there

    def died(self, key: str) -> None:
        """Leave the attempt as a killed one: this process goes on, but under another name, so the next claim counts it.

        For an attempt that ran out of memory where Python could still say so: ended, it would be tried again for ever.
        """
        self._known.pop(key, None)
        self._begun.discard(key)
        self._lives += 1
        name, _, _ = self._process.partition("/")
        self._process = f"{name}/{self._lives}"

    def settle(self, item: Progress, counters: Mapping[str, int]) -> bool:
        """Count a batch that was settled as a whole; False where the mark was set back: open the batch again.

        The marks that attempts write only rise; but a process that was warm during a reset would settle by the old one.
        """
        self._begun.discard(item.key)
        with suppress(Retryable):
            stored = self._write(replace(item, revision=item.revision + 1, counters=counters))
            return stored is None or stored.completed >= item.completed
        return True

    def _is_first(self, opening: Opening, item: Progress) -> bool:
        """Write a claim; False where the item had moved on. Raises Superseded where a later attempt moved it.

        An attempt that was given up must not take the shard from its successor, and count it among the killed.
        """
        stored = self._write(item)
        if stored is not None and opening.noted and stored.revision and stored.attempt.process != self._process:
            raise Superseded(f"{item.key}: another attempt has begun after this one")
        if stored is None:
            self._begun.discard(item.key)
        return stored is None

    def _write(self, item: Progress) -> Progress | None:
        """Write; returns None when it is stored, else the item that stands there instead."""
        self._known.pop(item.key, None)  # on an unknown outcome nothing is known any more
        stored = self._store.write(item)
        if stored is None or stored == item:  # equal: our own write, of which the answer was lost
            self._known[item.key] = item
            return None
        self._known[item.key] = stored
        return stored


class Unledgered:
    """Delivery `at_least_once`: no progress item, nothing is settled, nothing is fenced."""

    fenced = False

    def open(self, key: str, sequences: Sequence[str]) -> Opening:
        """Take the whole batch."""
        return Opening(Progress(key), 0, Attempt(size=len(sequences), ended=False))

    def claim(self, opening: Opening, keys: Mapping[str, str], version: str) -> Progress | None:  # noqa: ARG002
        """Claim nothing."""
        return opening.item

    def finish(self, opening: Opening, completed: str, arrival: int, counters: Mapping[str, int]) -> bool:  # noqa: ARG002
        """Note nothing."""
        return True

    def complete(
        self,
        claimed: Progress,
        completed: str,  # noqa: ARG002
        arrival: int,  # noqa: ARG002
        counters: Mapping[str, int],  # noqa: ARG002
        commit: Commit | None = None,  # noqa: ARG002
    ) -> Progress:
        """Note nothing."""
        return claimed

    def give_up(self, key: str) -> None:
        """Note nothing."""

    def died(self, key: str) -> None:
        """Note nothing."""

    def settle(self, item: Progress, counters: Mapping[str, int]) -> bool:  # noqa: ARG002
        """Note nothing."""
        return True
