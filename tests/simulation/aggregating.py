"""The aggregates of a schedule at work: what engines and redrives fold with, the emitter, the closer."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregation import Aggregation
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.commits import Commits, Logs
from aetherstream.delivery.aggregates.log import read_log
from aetherstream.delivery.aggregates.places import GroupPlace, scope_of
from aetherstream.delivery.pending import Pending
from aetherstream.emission.clock import Clocks
from aetherstream.emission.closer import Closer
from aetherstream.emission.emitter import Emitter
from aetherstream.emission.report import Closing, Emission
from aetherstream.errors import Retryable
from aetherstream.testing.builders import START, STREAM
from aetherstream.testing.stores import InlineExecutor
from tests.simulation.declared import REDECLARED, redeclared
from tests.simulation.emitting import Place, ReadShards, TableStream
from tests.simulation.models import BUCKET, LOGS
from tests.simulation.state_table import States, Windows
from tests.simulation.world import Attempt, Killed

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

_NAME = STREAM.rpartition("/")[2]
_ROUNDS = 40


class Aggregates:
    """The state table, and who works on it beside the engine."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._rng = rng = random.Random(f"aggregates {simulation.seed}")
        self.declared = simulation.shape.declared
        self.aggregates = {one.name: one.aggregate for one in self.declared}
        self.checked = tuple(
            one for one in self.declared if not (simulation.shape.redeclared and one.name == REDECLARED)
        )
        """Those of which something is known in the end."""
        self.owner = f"{simulation.pipeline}#{_NAME}"
        self.states = States(simulation.world, rng.choice((1, 3, 25)))
        windows = Windows(simulation.world)
        self.closed = windows.closed
        """What closing has left behind of windows."""
        self.stores = Stores(self.states, windows)
        self.changes = TableStream(rng)
        self.states.on_change = self.changes.tell
        self.places = [Place(simulation.world, final_only=final_only) for final_only in (False, True)]
        self.attempts: list[Attempt] = []
        self.judged: dict[str, float | None] = {}
        """Event id → the event time that its shard had committed when lateness was judged."""
        self.suspected: set[str] = set()
        """User records at which replays were killed, and that stay where they are."""
        self.emitter: type[Emitter] = Emitter
        self.closer: type[Closer] = Closer
        self._most_inline = rng.choice((0, 100, 4096))
        drawn = rng.choice((0.05, 0.1, 0.3))
        self._closing = drawn if simulation.shape.closing is None else simulation.shape.closing
        self._folded: set[tuple[str, int]] = set()
        self._idle: dict[str, list[Closer]] = {}
        """By version of the pipeline."""

    def __bool__(self) -> bool:
        return bool(self.declared)

    def declared_by(self, version: str) -> tuple[Declaration, ...]:
        """Those of a version of the pipeline."""
        return redeclared(self.declared) if self._simulation.shape.redeclared and version == "v2" else self.declared

    def aggregation(self, kind: type[Aggregation] = Aggregation, version: str = "v1") -> Aggregation | None:
        """What one process folds with; it remembers nothing yet."""
        if not self:
            return None
        made = partial(self.commits, version)
        return kind(self.declared_by(version), made, self._simulation.shape.places)

    def commits(self, version: str, stream: str) -> Commits:
        """Of a stream, by its name."""
        objects = self._simulation.objects
        return Commits(
            f"{self._simulation.pipeline}#{stream}",
            [one.aggregate for one in self.declared_by(version)],
            self.stores,
            Logs(objects, objects, BUCKET, LOGS, self._most_inline),
            now=self._now,
        )

    def is_folded(self, shard: str, pending: Pending) -> bool:
        """Whether every state that a commit changes has it."""
        if (shard, pending.commit) not in self._folded:
            data = pending.inline
            if data is None:
                data = self._simulation.objects.objects[pending.bucket, pending.key].body
            found = self.states.items
            checked = {one.name for one in self.checked}
            for key in (key for key in read_log(data, self.aggregates).partials if key.aggregate in checked):
                aggregate = self.aggregates[key.aggregate]
                item = found.get(GroupPlace(scope_of(self.owner, aggregate), key).address(shard))
                if item is None or item.state.k < pending.commit:
                    return False
            self._folded.add((shard, pending.commit))
        return True

    # -- What happens while the stream flows --------------------------------------------------------------------------

    def take_turns(self) -> None:
        """Let the emitter and the closer come, if it so happens."""
        if not self:
            return
        rng = self._rng
        if self.changes and rng.random() < 0.4:
            self._emit()
        if rng.random() < self._closing:
            self._close(START + rng.choice((0.0, 10.0, 30.0, 1000.0)) if rng.random() < 0.6 else None)

    def settle_all(self) -> None:
        """Close every window and emit what has changed: nothing goes wrong any more."""
        world = self._simulation.world
        if not self:
            return
        world.calm = True
        world.end_abandoned()
        # Until each process of the closer looks again for sessions that have ended, and gives up what others declared.
        world.now += 1000
        self._close(float("inf"))
        for _ in range(_ROUNDS):
            if not self.changes:
                return
            self._emit()
        world.violate("stuck: results can't be emitted")

    def _emit(self) -> None:
        """One invocation of the emitter. What it does not call done comes again."""
        lane, batch = self.changes.batch(whole=self._simulation.world.calm)
        made = self.emitter(
            self._simulation.pipeline,
            self.declared_by(self._simulation.version),
            self.stores,
            {one.name: self.places for one in self.declared},
            InlineExecutor(),
            now=self._now,
        )
        done: Emission | None = self._run("emitter", lambda: made.emit(batch, lambda: 900.0))
        if done is not None and done.error is None:
            self.changes.taken(lane, batch)

    def _close(self, upto: float | None) -> None:
        """One invocation of the closer; `upto`: by hand, whether or not it is time."""
        version = self._simulation.version
        idle = self._idle.setdefault(version, [])
        if idle and self._rng.random() < 0.5:
            made = idle.pop()
        else:
            made = self.closer(
                self.owner,
                self.declared_by(version),
                self.stores,
                {one.name: self.places for one in self.declared},
                self.commits(version, _NAME),
                self._clocks(),
                now=self._now,
            )
        done: Closing | None = self._run("closer", lambda: made.run(lambda: 900.0, upto))
        if done is not None:
            idle.append(made)
            for trouble in done.troubles:
                if not isinstance(trouble, Retryable):
                    self._simulation.world.violate(f"raised: the closer met {trouble!r}")

    def _clocks(self) -> Clocks:
        simulation = self._simulation
        shards = ReadShards(simulation)
        return Clocks(simulation.pipeline, STREAM, shards, simulation.table, InlineExecutor(), now=self._now)

    def _run(self, kind: str, body: Callable[[], Any]) -> Any:
        """Run something in a process of its own; None where nobody has seen it come to its end."""
        world, rng = self._simulation.world, self._rng
        attempt = Attempt(f"{kind}{len(self.attempts)}", body, [], redrives=True)
        if not world.calm and rng.random() < 0.4:  # others come while it is at work
            attempt.abandon_at = rng.randint(1, rng.choice((6, 30, 90)))
        self.attempts.append(attempt)
        world.note(f"{attempt.name} begins")
        world.run(attempt)
        if attempt.error is not None and not isinstance(attempt.error, Killed | Retryable):
            world.violate(f"raised: {attempt.name} raised {attempt.error!r}")
        return attempt.report if attempt.done else None

    def _now(self) -> float:
        return self._simulation.world.now + START
