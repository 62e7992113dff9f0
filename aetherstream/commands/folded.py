"""What the aggregates of a pipeline make of some records, all windows closed and no state kept: for config tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.column import Places
from aetherstream.aggregates.columns import Columns
from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.aggregates.fold import fold_all
from aetherstream.aggregates.judge import Refusals
from aetherstream.aggregates.partials import Partial
from aetherstream.aggregates.ranking import ranked
from aetherstream.compose_aggregates import declarations_of
from aetherstream.core import Prepared
from aetherstream.delivery.aggregates.results import Result
from aetherstream.encoded import parsed
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.cases import Results
from aetherstream.records import KinesisRecords, Rejection
from aetherstream.results.rows import document, line, rows

Fold = Callable[[KinesisRecords, Prepared], tuple[Results, list[Rejection]]]
_NOT_COMPARED = ("id", "aggregate", "version", "final")
"""Fields of results that say nothing of what was counted."""


def folding_of(pipeline: Pipeline) -> Fold:
    """Return what gives the results of records, by aggregate, and what the aggregates refuse of them."""
    declarations = declarations_of(pipeline)
    archives = {name for name, sink in pipeline.sinks.items() if sink.objects is not None and not sink.is_off}

    def fold(records: KinesisRecords, prepared: Prepared) -> tuple[Results, list[Rejection]]:
        events, columns = prepared.events, prepared.columns
        if columns is None or not len(events):
            return {one.name: [] for one in declarations}, []
        arrivals = [records.arrivals[record] for record in events.records]
        places = Places(records.shard, records.sequences, events)
        unheld = {index for index, sinks in enumerate(events.routes) if sinks is not None and not sinks & archives}
        results: Results = {}
        refused: Refusals = {}
        for store, times in (("dynamodb", columns.times), ("lambda", arrivals)):
            some = [one for one in declarations if one.store == store]
            found, wrong = fold_all(
                [one.aggregate for one in some],
                Columns(columns.values, times, places, arrivals),
                aside={one.name: unheld for one in some},
            )
            results |= {one.name: list(_rows(one, found[one.name].partials)) for one in some}
            if store == "dynamodb":  # what Lambda's windows refuse is counted; the stream function quarantines its own
                refused = wrong
        rejections = [
            Rejection(events.records[index], events.subs[index], "aggregate", why.where, why.reason, why.message)
            for index, why in sorted(refused.items())
        ]
        return results, rejections

    return fold


def _rows(declaration: Declaration, partials: Mapping[Key, Partial]) -> Iterator[dict[str, Any]]:
    """The documents of the results, by window and group, or by rank."""
    aggregate = declaration.aggregate
    results = [result for key, partial in partials.items() for result in _results(aggregate, key, partial)]
    results.sort(key=lambda result: (result.window, result.key.group))
    if declaration.ranking is None:
        yield from (_document(aggregate, result) for result in results)
        return
    for window in dict.fromkeys(result.window for result in results):
        of_window = [result for result in results if result.window == window]
        yield from _ranked(aggregate, of_window, declaration.ranking)


def _results(aggregate: Aggregate, key: Key, partial: Partial) -> Iterator[Result]:
    if key.window is not None:
        yield Result(key, key.window, partial, 0)
    else:
        for session in partial:
            yield Result(key, session.window(aggregate.gap or 0), session.accs, 0)


def _ranked(aggregate: Aggregate, results: Sequence[Result], ranking: Ranking) -> Iterator[dict[str, Any]]:
    documents = {result.key.group: _document(aggregate, result) for result in results}
    first = ranked(documents.items(), ranking.by, ranking.most, ascending=ranking.ascending)
    for rank, (_, found) in enumerate(first, 1):
        yield {**found, "rank": rank}


def _document(aggregate: Aggregate, result: Result) -> dict[str, Any]:
    (row,) = rows(aggregate, [result], final=True)
    found: dict[str, Any] = parsed(line(document(row)))
    return {name: value for name, value in found.items() if name not in _NOT_COMPARED}
