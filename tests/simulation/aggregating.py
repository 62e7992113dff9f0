"""The aggregates of a schedule at work: what engines and redrives fold with, the closer, the emitters, the results."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.partials import dump
from aetherstream.aggregation import Aggregation
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.closing import close
from aetherstream.delivery.aggregates.commits import Commits, Logs
from aetherstream.delivery.aggregates.log import read_log
from aetherstream.delivery.aggregates.places import GroupPlace, WindowPlace, scope_of
from aetherstream.delivery.aggregates.results import Result, merged
from aetherstream.delivery.pending import Pending
from aetherstream.errors import Retryable
from aetherstream.testing.builders import START, STREAM
from tests.simulation.faults import AT_BULK, AT_READ
from tests.simulation.models import BUCKET, LOGS
from tests.simulation.state_table import States, Windows
from tests.simulation.world import Attempt, Killed

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

_AT_A_TIME = 8
"""Groups that one invocation of an emitter is told of."""


class Emitted(NamedTuple):
    """A row as a sink holds it."""

    version: int
    acc: bytes


class Aggregates:
    """The state table, and who works on it beside the engine."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._rng = rng = random.Random(f"aggregates {simulation.seed}")
        self.declared = simulation.shape.declared
        self.aggregates = {one.name: one.aggregate for one in self.declared}
        self.owner = f"{simulation.pipeline}#{STREAM.rpartition('/')[2]}"
        self.states = States(simulation.world, rng.choice((1, 3, 25)))
        self.windows = Windows(simulation.world)
        self.rows: dict[Key, Emitted] = {}
        """The sink of results: by group and window, the newest version."""
        self.attempts: list[Attempt] = []
        self.judged: dict[str, float | None] = {}
        """Event id → the event time that its shard had committed when lateness was judged."""
        self._most_inline = rng.choice((0, 100, 4096))
        self._folded: set[tuple[str, int]] = set()
        self._dirty: dict[GroupPlace, None] = {}
        self.states.on_change = self._changed

    def __bool__(self) -> bool:
        return bool(self.declared)

    def aggregation(self, kind: type[Aggregation] = Aggregation) -> Aggregation | None:
        """What one process folds with; it remembers nothing yet."""
        return kind(self.declared, self.commits, self._simulation.shape.places) if self else None

    def is_folded(self, shard: str, pending: Pending) -> bool:
        """Whether every state that a commit changes has it."""
        if (shard, pending.commit) not in self._folded:
            data = pending.inline
            if data is None:
                data = self._simulation.objects.objects[pending.bucket, pending.key].body
            found = self.states.items
            for key in read_log(data, self.aggregates).partials:
                aggregate = self.aggregates[key.aggregate]
                item = found.get(GroupPlace(scope_of(self.owner, aggregate), key).address(shard))
                if item is None or item.state.k < pending.commit:
                    return False
            self._folded.add((shard, pending.commit))
        return True

    def commits(self, stream: str) -> Commits:
        """Of a stream, by its name."""
        simulation = self._simulation
        return Commits(
            f"{simulation.pipeline}#{stream}",
            list(self.aggregates.values()),
            Stores(self.states, self.windows),
            Logs(simulation.objects, simulation.objects, BUCKET, LOGS, self._most_inline),
            now=lambda: simulation.world.now + START,
        )

    # -- What happens while the stream flows --------------------------------------------------------------------------

    def take_turns(self) -> None:
        """Let emitters and the closer come, if it so happens."""
        if not self:
            return
        rng = self._rng
        if self._dirty and rng.random() < 0.4:
            self._run_emitter(rng.sample(list(self._dirty), min(_AT_A_TIME, len(self._dirty))))
        if rng.random() < 0.15:
            upto = START + rng.choice((-10.0, 0.0, 10.0, 30.0, 1000.0))
            self._run("closer", lambda: self._close(upto))

    def settle_all(self) -> None:
        """Close every window and emit what has changed: nothing goes wrong any more."""
        world = self._simulation.world
        if not self:
            return
        world.calm = True
        world.end_abandoned()
        self._run("closer", lambda: self._close(float("inf")))
        while self._dirty:
            self._run_emitter(list(self._dirty))

    def _run_emitter(self, places: Sequence[GroupPlace]) -> None:
        for place in places:
            self._dirty.pop(place, None)
        if not self._run("emitter", lambda: self._emit_all(places)):
            self._dirty.update(dict.fromkeys(places))  # the stream of the table brings it again

    def _run(self, kind: str, body: Callable[[], None]) -> bool:
        """Run something in a process of its own; whether it has come to its end by now."""
        world, rng = self._simulation.world, self._rng
        attempt = Attempt(f"{kind}{len(self.attempts)}", body, [], redrives=True)
        if not world.calm and rng.random() < 0.4:  # others come while it is at work
            attempt.abandon_at = rng.randint(1, 8)
        self.attempts.append(attempt)
        world.note(f"{attempt.name} begins")
        world.run(attempt)
        if attempt.done and attempt.error is not None and not isinstance(attempt.error, Killed | Retryable):
            world.violate(f"raised: {attempt.name} raised {attempt.error!r}")
        return attempt.done

    def _changed(self, place: GroupPlace) -> None:
        self._dirty[place] = None

    # -- The emitter --------------------------------------------------------------------------------------------------

    def _emit_all(self, places: Sequence[GroupPlace]) -> None:
        try:
            for place in places:
                if place.key.window is not None:
                    self._emit(place)
        except BaseException:
            self._dirty.update(dict.fromkeys(places))
            raise

    def _emit(self, place: GroupPlace) -> None:
        results = merged(self.aggregates[place.key.aggregate], self.states.group(place))
        final = bool(self.windows.marks([place.in_window]))
        self.take(results, final=final)

    def take(self, results: Sequence[Result], *, final: bool) -> None:
        """Give a sink some rows; it keeps the newest version of each."""

        def act() -> None:
            for result in results:
                version = 2 * result.version + final
                if result.key not in self.rows or version >= self.rows[result.key].version:
                    acc = dump(self.aggregates[result.key.aggregate], result.accs)
                    self.rows[result.key] = Emitted(version, acc)

        if results:
            self._simulation.world.effect(f"emit {len(results)} rows, final={final}", act, AT_BULK)

    # -- Closing ------------------------------------------------------------------------------------------------------

    def _close(self, upto: float) -> None:
        """Close the windows that end at `upto` or before, whether or not it is time."""
        world, commits = self._simulation.world, self.commits(STREAM.rpartition("/")[2])
        for item in world.effect("read the progress", lambda: list(self._simulation.table.items.values()), AT_READ):
            commits.fold(item.key.rpartition("#")[2], item.pending)
        for aggregate in self.aggregates.values():
            if aggregate.gap is None:
                self._close_windows(aggregate, upto)

    def _close_windows(self, aggregate: Aggregate, upto: float) -> None:
        scope = scope_of(self.owner, aggregate)
        for window, shards in self.windows.due(scope, upto).items():
            close(
                aggregate,
                WindowPlace(scope, window),
                shards,
                self.states,
                self.windows,
                lambda results: self.take(results, final=True),
                now=self._simulation.world.now + START,
            )
