"""Engines and redrives whose aggregates lack one part of the protocol: each has to be caught, or the checks prove
nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from aetherstream.aggregates.aggregate import Key
from aetherstream.aggregates.partials import Partial
from aetherstream.aggregation import Aggregation, Gathered, ShardCommit
from aetherstream.core import Prepared
from aetherstream.delivery.aggregates.apply import Applied
from aetherstream.delivery.aggregates.commits import Commits
from aetherstream.delivery.aggregates.log import get_log, read_log, write_log
from aetherstream.delivery.aggregates.places import WindowPlace
from aetherstream.delivery.aggregates.state import Mark
from aetherstream.delivery.pending import Pending
from aetherstream.delivery.progress import Progress
from aetherstream.engine import Engine
from aetherstream.records import KinesisRecords
from aetherstream.recovery.choice import Choice
from aetherstream.recovery.held import Held
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.redrive_report import RedriveReport
from aetherstream.recovery.refold import Fold
from tests.simulation.models import BUCKET, LOGS
from tests.simulation.recovery import RedriverVariant, redrive_parts
from tests.simulation.run import Simulation, Variant, parts
from tests.simulation.settings import COUNTED_LETTERS, COUNTED_PARTS, OUTLIVED, REDECLARED_COUNTS


class _FoldsFirst(Engine):
    """Folds before the commit."""

    def _log(self, *arguments: Any) -> ShardCommit | None:
        commit = super()._log(*arguments)
        if commit is not None:
            commit.fold()
        return commit


class _LogsMoreThanIsDelivered(Engine):
    """Gathers the whole batch, and completes its prefix."""

    def _gather(self, batch: KinesisRecords, plan: Any, end: int, *rest: Any) -> Gathered | None:
        return super()._gather(batch, plan, plan.prepared.end, *rest)


class _SettlesWithoutFolding(Aggregation):
    """Leaves what is pending of a batch that was completed."""

    def settle(self, *_: Any) -> Applied:
        return Applied()


class _JudgesByTheBatch(Aggregation):
    """Calls an event late by what comes in the same batch."""

    def gather(
        self,
        batch: KinesisRecords,
        prepared: Prepared,
        end: int,
        committed: float | None,
        aside: Mapping[str, Collection[int]] | None = None,
    ) -> Gathered:
        times = prepared.columns.times[: prepared.events.before(end)] if prepared.columns else []
        return super().gather(batch, prepared, end, max(times, default=committed), aside)


class _JudgesNothing(Aggregation):
    """Calls nothing late."""

    def gather(
        self,
        batch: KinesisRecords,
        prepared: Prepared,
        end: int,
        committed: float | None,
        aside: Mapping[str, Collection[int]] | None = None,
    ) -> Gathered:
        return super().gather(batch, prepared, end, None, aside)


def _committing(kind: type[ShardCommit]) -> type[Aggregation]:
    """Aggregates whose commits are of another kind."""

    class Changed(Aggregation):
        def log(self, *arguments: Any) -> ShardCommit | None:
            made = super().log(*arguments)
            return made and kind(made._commits, made._shard, made._pending, made._newest, made._seconds_left)

    return Changed


class _KeepsTheNumber(ShardCommit):
    """Points at the log, and does not raise the number of the commit."""

    def upon(self, item: Progress, /) -> Progress:
        return replace(super().upon(item), commit=item.commit)


class _GoesBack(ShardCommit):
    """The event time of the shard is that of its last batch."""

    def upon(self, item: Progress, /) -> Progress:
        done = super().upon(item)
        return done if self._newest is None else replace(done, event_time=self._newest)


class _LeavesWhatIsPending(ShardCommit):
    """Commits without having folded the commit before."""

    def upon(self, item: Progress, /) -> Progress:
        return super().upon(replace(item, pending=None))


class _CommitsUnseen(ShardCommit):
    """Commits the number that it has logged, whoever has committed since."""

    def upon(self, item: Progress, /) -> Progress:
        done = super().upon(item)
        self._first = first = getattr(self, "_first", done.pending)
        return done if first is None else replace(done, commit=first.commit, pending=first)


class _OneLog(Commits):
    """All attempts at a shard write their log into the same object."""

    def log(self, shard: str, epoch: int, commit: int, partials: Mapping[Key, Partial]) -> Pending:
        data = write_log(self._aggregates, partials, epoch, int(self._now()))
        metadata = {"aether-epoch": str(epoch)}
        objects: Any = self._logs.objects
        key = f"{LOGS}/{shard}.log"
        head = objects.head(BUCKET, key)
        objects.put(BUCKET, key, data, metadata, if_match=head.etag if head else None)
        pending = Pending(commit, bucket=BUCKET, key=key)
        self._made[shard] = (pending, partials)
        return pending


class _LogsInOnePlace(Aggregation):
    def commits(self, stream: str) -> Commits:
        made = super().commits(stream)
        made.__class__ = _OneLog
        return made


class _SkipsForeign(Commits):
    """Leaves a log alone in which another version has an aggregate of its own."""

    def fold(self, shard: str, pending: Pending | None, **rest: Any) -> Applied:
        if pending is not None and not self.is_folded(shard, pending):
            log = read_log(get_log(self._logs.reader, pending), self._aggregates)
            if log.undeclared:
                self._memory.folded(shard, pending.commit)
                return Applied()
        return super().fold(shard, pending, **rest)


class _SkipsLogsOfOthers(Aggregation):
    def commits(self, stream: str) -> Commits:
        made = super().commits(stream)
        made.__class__ = _SkipsForeign
        return made


def _engine(kind: type[Engine]) -> Variant:
    return lambda simulation, name, version: kind(**parts(simulation, name, version))


def _aggregation(kind: type[Aggregation]) -> Variant:
    def make(simulation: Simulation, name: str, version: str) -> Engine:
        aggregation = simulation.aggregates.aggregation(kind, version)
        return Engine(**{**parts(simulation, name, version), "aggregation": aggregation})

    return make


def _unconditional(simulation: Simulation, name: str, version: str) -> Engine:
    """States are written whatever stands there."""
    simulation.aggregates.states.unconditional = True
    return Engine(**parts(simulation, name, version))


class _RedrivesWithoutCommit(Redriver):
    """Folds what it brings, and commits nothing."""

    def _deliver(self, *arguments: Any) -> ShardCommit | None:
        commit = super()._deliver(*arguments)
        if commit is not None:
            commit.fold()
        return None


class _RedrivesAddNothing(Redriver):
    """Brings events back, and forgets the aggregates."""

    def _deliver(self, *arguments: Any) -> ShardCommit | None:
        super()._deliver(*arguments)
        return None


class _RefoldsWhatIsHeld(Redriver):
    """Folds whatever the unit holds."""

    def _fold(self, unit: KinesisRecords, choice: Choice, held: Held, report: RedriveReport) -> Fold:
        if self._aggregation is None or not len(choice.prepared.events):
            return Fold()
        gathered = self._aggregation.gather(unit, choice.prepared, choice.prepared.end, None)
        return Fold(gathered, gathered.rejections)


class _RedrivesJudge(Redriver):
    """Calls redriven events late."""

    def _fold(self, unit: KinesisRecords, choice: Choice, held: Held, report: RedriveReport) -> Fold:
        judging: Any = self._aggregation and _Judging(self._aggregation)
        self._aggregation = judging
        return super()._fold(unit, choice, held, report)


class _Judging:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def gather(self, batch: KinesisRecords, prepared: Prepared, end: int, _: float | None, aside: Any) -> Gathered:
        times = prepared.columns.times if prepared.columns else []
        gathered: Gathered = self._inner.gather(batch, prepared, end, max(times, default=None), aside)
        return gathered


class _Unmarked:
    """Windows that were never closed."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def marks(self, *_: Any) -> dict[WindowPlace, Mark]:
        return {}


class _FoldsIntoWhatIsGone(Aggregation):
    """Looks at no mark."""

    def commits(self, stream: str) -> Commits:
        made = super().commits(stream)
        windows: Any = _Unmarked(made._stores.windows)
        made._stores = made._stores._replace(windows=windows)
        return made


def _redriver(kind: type[Redriver]) -> RedriverVariant:
    return lambda simulation, name: kind(**redrive_parts(simulation, name))


def _redriven(kind: type[Aggregation]) -> RedriverVariant:
    def make(simulation: Simulation, name: str) -> Redriver:
        return Redriver(**{**redrive_parts(simulation, name), "aggregation": simulation.aggregates.aggregation(kind)})

    return make


BROKEN_COUNTS: dict[str, Variant] = {
    "folded before the commit": _engine(_FoldsFirst),
    "a log of more than is delivered": _engine(_LogsMoreThanIsDelivered),
    "states written without a condition": _unconditional,
    "a settled batch is not folded": _aggregation(_SettlesWithoutFolding),
    "what is pending is not folded": _aggregation(_committing(_LeavesWhatIsPending)),
    "the number of a commit is not raised": _aggregation(_committing(_KeepsTheNumber)),
    "late by the batch's own time": _aggregation(_JudgesByTheBatch),
    "nothing is late": _aggregation(_JudgesNothing),
    "the event time goes back": _aggregation(_committing(_GoesBack)),
    "logs in one place": _aggregation(_LogsInOnePlace),
    "logs of another version are skipped": _aggregation(_SkipsLogsOfOthers),
}
"""What is left out → the engine without it."""
BROKEN_RECOUNTS: dict[str, RedriverVariant] = {
    "redrive folds without a commit": _redriver(_RedrivesWithoutCommit),
    "redrive forgets the aggregates": _redriver(_RedrivesAddNothing),
    "redrive folds what is held": _redriver(_RefoldsWhatIsHeld),
    "redrive calls events late": _redriver(_RedrivesJudge),
    "redrive folds into what is gone": _redriven(_FoldsIntoWhatIsGone),
    "redrive leaves what is pending": _redriven(_committing(_LeavesWhatIsPending)),
    "redrive commits an old number": _redriven(_committing(_CommitsUnseen)),
}
"""What is left out → the redrive without it."""
COUNTED_BY = {
    "redrive folds into what is gone": OUTLIVED,
    "logs of another version are skipped": REDECLARED_COUNTS,
    "a log of more than is delivered": COUNTED_PARTS,
    "states written without a condition": COUNTED_PARTS,
    "what is pending is not folded": COUNTED_LETTERS,
    "redrive leaves what is pending": COUNTED_LETTERS,
    "redrive commits an old number": COUNTED_LETTERS,
}
"""What brings those to light that any schedule shows but seldom."""
