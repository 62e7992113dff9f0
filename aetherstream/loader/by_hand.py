"""What a person asks of the loads, by `aetherstream redshift`: look, change the table, try again what was set aside.

Requests: `{"do": ..., "sink": name or null, "by": who}` and what the word takes. Answers: `{"state": "done", "sinks":
[one a sink]}`, or `{"state": "failed", "message": ...}` for a request that can't be meant. A warehouse that can't be
asked is no failure of the request: its sink says so in `trouble`, and what is known without it stands there. Each sink
says `sink`, `table`, `warehouse`, and

- `show`: `staging`, `mode`, `through`, `loaded`, `rows`, `last`, `set_aside`, and what `plan` says; beside `sinks`
  stands `queue`: what waits in it.
- `plan`: `changes` (`text`, `statement`, `alone`), `refusals` (`column`, `reason`, `way_out`), `notes`.
- `apply`: the same, as it was before, and `done` (texts). Nothing is done while there are refusals.
- `failures`: `failures` (`object`, `etag`, `load`, `at`, `error`), the latest first; `more`: how many are not told.
- `retry`, with `objects` (`bucket/key`, `s3://bucket/key`) or `all`: `announced`.
- `backfill`, with `dry_run` and `after` (a key): `staged`, `emptied`, `others`, `loaded`, `set_aside`, `missing`,
  `names` of the first that are missing, `announced`; and `after` where the time was over: asked again with it, it goes
  on there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from aetherstream.delivery.reader import ObjectReader
from aetherstream.errors import AetherStreamError, ConfigurationError, Retryable, UsageError
from aetherstream.loader.parts import Entry, Warehouse
from aetherstream.loader.told import Told, about, applied, at, planned, summary
from aetherstream.objects import EMPTY
from aetherstream.warehouse.options import LoadTarget
from aetherstream.warehouse.sql import ObjectRef

MOST_TOLD = 1000
"""Failures that one answer tells of. AWS: an answer has at most 6 MB."""

NAMED = 20
"""Missing objects that are named; all are counted."""

CHUNK = 500
"""Objects that are asked for, forgotten or announced at once."""

STATEMENT = 300.0
"""Seconds that one question to a warehouse may take: a change of a table waits for the load that runs."""

RESERVE = 20.0
"""Seconds before the end of an invocation in which nothing more is begun."""

SecondsLeft = Callable[[], float]
Sink = tuple[LoadTarget, Warehouse]


class LoadQueue(Protocol):
    """The queue of notifications."""

    def announce(self, objects: Sequence[ObjectRef], /) -> None:
        """Say that these objects are there, as S3 says it. Raises Retryable and ConfigurationError."""

    def counts(self) -> Mapping[str, int]:
        """How many messages there are: `waiting`, `taken`, `delayed`, and `dead` where that is known.

        Raises like `announce`.
        """


class ByHand:
    """Answers for the tables of one pipeline."""

    def __init__(
        self,
        pipeline: str,
        sinks: Sequence[Sink],
        *,
        reader: ObjectReader,
        queue: LoadQueue,
        dry_run: bool = False,
        chunk: int = CHUNK,
        most_told: int = MOST_TOLD,
    ) -> None:
        """`dry_run`: what would change something is refused; `chunk`, `most_told`: see `CHUNK` and `MOST_TOLD`."""
        self._pipeline = pipeline
        self._sinks = sinks
        self._reader = reader
        self._queue = queue
        self._dry_run = dry_run
        self._chunk = chunk
        self._most_told = most_told

    def answer(self, request: Mapping[str, Any], seconds_left: SecondsLeft) -> dict[str, Any]:
        """Answer a request. What hinders it stands in the answer; raises only on a bug."""
        do = request.get("do")
        try:
            chosen = self._chosen(request.get("sink"))
            if self._dry_run and (do in ("apply", "retry") or (do == "backfill" and not request.get("dry_run"))):
                raise UsageError("the stack runs dry: it changes nothing")
            match do:
                case "show":
                    return {**_each(chosen, seconds_left, summary), "queue": self._counts()}
                case "plan":
                    return _each(chosen, seconds_left, planned)
                case "apply":
                    return _each(chosen, seconds_left, applied)
                case "failures":
                    return _each(chosen, seconds_left, self._failures)
                case "retry":
                    return self._retry(chosen, request, seconds_left)
                case "backfill":
                    return self._backfill(chosen, request, seconds_left)
            raise UsageError(f"the loader function does not know what {do!r} is")
        except AetherStreamError as error:
            return {"state": "failed", "message": str(error)}

    def _chosen(self, name: object) -> list[Sink]:
        chosen = [each for each in self._sinks if name in (None, each[0].sink)]
        if name is not None and not chosen:
            names = ", ".join(target.sink for target, _ in self._sinks) or "none"
            raise UsageError(
                f"the pipeline {self._pipeline} has no Redshift sink {name} that is on; those that are: {names}"
            )
        return chosen

    def _counts(self) -> dict[str, Any]:
        try:
            return dict(self._queue.counts())
        except (Retryable, ConfigurationError) as error:
            return {"trouble": str(error)}

    # -- Again what was set aside -------------------------------------------------------------------------------------

    def _retry(self, chosen: Sequence[Sink], request: Mapping[str, Any], seconds_left: SecondsLeft) -> dict[str, Any]:
        named = {str(name).removeprefix("s3://") for name in request.get("objects") or ()}
        if bool(named) == (request.get("all") is True):
            raise UsageError("say which objects, or all of them")
        found: list[tuple[Sink, list[str]]] = []
        for sink in chosen:
            locations = [entry.location for entry in sink[1].failures(_patience(seconds_left))]
            found.append((sink, [each for each in locations if not named or each in named]))
        if missing := sorted(named.difference(*(locations for _, locations in found))):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UsageError(
                f"s3://{missing[0]}{more}: not set aside; `aetherstream redshift failures` shows what is, and "
                "`aetherstream redshift backfill` announces what the ledger does not know"
            )
        return {"state": "done", "sinks": [self._again(sink, each, seconds_left) for sink, each in found]}

    def _again(self, sink: Sink, locations: Sequence[str], seconds_left: SecondsLeft) -> dict[str, Any]:
        target, warehouse = sink
        told: Told = {**about(target), "announced": 0}
        # A message of an object that is still set aside would be dropped: it is forgotten first.
        for chunk in _chunks(locations, self._chunk):
            try:
                warehouse.forget(chunk, _patience(seconds_left))
            except (Retryable, ConfigurationError) as error:
                return {**told, "trouble": str(error)}
            try:
                self._announce(chunk)
            except (Retryable, ConfigurationError) as error:
                return {
                    **told,
                    "trouble": f"{error}; objects that are not set aside any more may not be announced: "
                    "`aetherstream redshift backfill` does that",
                }
            told["announced"] += len(chunk)
        return told

    def _failures(self, target: LoadTarget, warehouse: Warehouse, seconds: float) -> Told:
        try:
            found = warehouse.failures(seconds)
        except (Retryable, ConfigurationError) as error:
            return {**about(target), "failures": [], "more": 0, "trouble": str(error)}
        told = [
            {"object": entry.location, "etag": entry.etag, "load": entry.load, "at": at(entry.at), "error": entry.error}
            for entry in found[: self._most_told]
        ]
        return {**about(target), "failures": told, "more": len(found) - len(told)}

    def _announce(self, locations: Sequence[str]) -> None:
        places = (location.partition("/") for location in locations)
        self._queue.announce([ObjectRef(bucket, key) for bucket, _, key in places])

    # -- What the ledger does not know --------------------------------------------------------------------------------

    def _backfill(
        self, chosen: Sequence[Sink], request: Mapping[str, Any], seconds_left: SecondsLeft
    ) -> dict[str, Any]:
        after = str(request.get("after") or "")
        if after and len(chosen) != 1:
            raise UsageError("say which sink the backfill goes on with")
        look_only = bool(request.get("dry_run"))
        return {
            "state": "done",
            "sinks": [self._fill(sink, after, seconds_left, look_only=look_only) for sink in chosen],
        }

    def _fill(self, sink: Sink, after: str, seconds_left: SecondsLeft, *, look_only: bool) -> dict[str, Any]:
        target, warehouse = sink
        counts = dict.fromkeys(("staged", "emptied", "others", "loaded", "set_aside", "missing", "announced"), 0)
        told: Told = {**about(target), **counts, "names": [], "after": None}
        try:
            for keys in _chunks(self._staged(target, after, told), self._chunk):
                known = warehouse.known([f"{target.staging.bucket}/{key}" for key in keys], _patience(seconds_left))
                self._take_in(told, target, keys, known, look_only=look_only)
                if seconds_left() < RESERVE:
                    told["after"] = keys[-1]
                    break
        except (Retryable, ConfigurationError) as error:
            told["trouble"] = str(error)
        return told

    def _staged(self, target: LoadTarget, after: str, told: Told) -> Iterator[str]:
        """Keys of the objects that hold rows; all that stand there are counted."""
        for listed in self._reader.list(target.staging.bucket, f"{target.staging.prefix}/"):
            if listed.key <= after:
                continue
            if target.shard_of(listed.key) is None:
                told["others"] += 1
            elif listed.size <= EMPTY:
                told["emptied"] += 1
            else:
                told["staged"] += 1
                yield listed.key

    def _take_in(
        self, told: Told, target: LoadTarget, keys: Sequence[str], known: Mapping[str, Entry], *, look_only: bool
    ) -> None:
        bucket = target.staging.bucket
        missing = [f"{bucket}/{key}" for key in keys if f"{bucket}/{key}" not in known]
        for entry in known.values():
            told["loaded" if entry.state == "loaded" else "set_aside"] += 1
        told["missing"] += len(missing)
        told["names"] += missing[: NAMED - len(told["names"])]
        if missing and not look_only:
            self._announce(missing)
            told["announced"] += len(missing)


def _each(
    chosen: Sequence[Sink], seconds_left: SecondsLeft, tell: Callable[[LoadTarget, Warehouse, float], Told]
) -> dict[str, Any]:
    return {"state": "done", "sinks": [tell(*sink, _patience(seconds_left)) for sink in chosen]}


def _patience(seconds_left: SecondsLeft) -> float:
    return max(1.0, min(STATEMENT, seconds_left() - RESERVE))


def _chunks(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
