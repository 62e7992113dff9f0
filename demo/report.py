"""The demo's report: for a person, and as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from demo.aggregates import Aggregated
from demo.findings import Findings
from demo.search import AGGREGATION, INDICES, SEARCH, Searched
from demo.warehouse import COLUMNS, TABLE, Warehoused
from demo.warehouse import QUERY as CARRIERS

QUERY = """SELECT airline, count(*) AS flights, round(avg(dep_delay), 1) AS mean_delay
FROM read_json('{archive}/*/*.ndjson.gz', hive_partitioning = true)
GROUP BY airline ORDER BY flights DESC LIMIT 5"""


def as_json(found: Findings) -> dict[str, Any]:
    """The report for programs."""
    return {
        "records_in": found.records_in,
        "delivered": {
            "archive": found.lines,
            **({"search": found.search.documents} if found.search else {}),
            **({"warehouse": found.warehouse.rows} if found.warehouse else {}),
        },
        "quarantined": dict(found.quarantined),
        "quarantine_reasons": found.reasons,
        "dropped": found.counters["dropped"],
        "settled": found.counters["settled"],
        "dead_letters": found.dead_letters,
        "objects": found.objects,
        "bytes": found.bytes,
        "seconds": round(found.seconds, 2),
        "records_per_second": round(found.records_in / found.seconds),
        "balanced": found.balanced,
        "checks": found.checks(),
    }


def show(found: Findings, console: Console, report: Path) -> None:
    """The report for a person."""
    console.print()
    table = Table.grid(padding=(0, 3))
    table.add_column(justify="left")
    table.add_column(justify="right", style="bold")
    table.add_column(style="dim")
    rate = found.records_in / found.seconds
    for name, value, note in (
        ("records in", f"{found.records_in:,}", "sent by the producer, counted one by one"),
        ("delivered to archive", f"{found.lines:,}", "lines in S3"),
        *_delivered_to_search(found),
        *_delivered_to_warehouse(found),
        *_aggregated(found),
        ("dropped", f"{found.counters['dropped']:,}", "cancelled flights: the pipeline's filter"),
        ("quarantined", f"{sum(found.quarantined.values()):,}", "kept with their bytes and the reason"),
        ("settled before", f"{found.counters['settled']:,}", "brought again by Lambda, not delivered again"),
        ("dead letters", f"{found.dead_letters:,}", ""),
        ("objects", f"{found.objects:,}", f"{found.bytes / 1e6:.1f} MB, gzip"),
        ("time", f"{found.seconds:.1f} s", f"{rate:,.0f} records/s, producer and stack on this machine"),
    ):
        table.add_row(name, value, note)
    console.print(table)
    _show_quarantine(found, console)
    console.print("\n[bold]Balance[/bold]")
    for text, holds in found.checks().items():
        console.print(f"  {'[green]✓[/green]' if holds else '[red]✗[/red]'} {text}", highlight=False)
    _show_query(found, console)
    if found.search is not None:
        _show_search(found.search, console)
    if found.warehouse is not None:
        _show_warehouse(found.warehouse, console)
    if found.aggregated is not None:
        _show_busiest(found.aggregated, console)
    console.print(f"\n  this report as JSON  {report}", highlight=False)
    if found.balanced:
        console.print("\n[bold green]Every record is accounted for, once.[/bold green]\n")
    else:
        console.print("\n[bold red]The accounting does not balance: see above.[/bold red]\n")


def _delivered_to_search(found: Findings) -> list[tuple[str, str, str]]:
    if found.search is None:
        return []
    spilled = found.counters["search.spilled"]
    by_way = f", {spilled:,} of them by way of the spill" if spilled else ""
    indices = "one index" if found.search.indices == 1 else f"{found.search.indices} indices"
    note = f"documents in OpenSearch, {indices}{by_way}"
    return [("delivered to search", f"{found.search.documents:,}", note)]


def _delivered_to_warehouse(found: Findings) -> list[tuple[str, str, str]]:
    if found.warehouse is None:
        return []
    note = f"rows, by COPY, in a stand-in for Redshift; complete {found.loaded_after:.0f} s after the last record"
    return [("delivered to warehouse", f"{found.warehouse.rows:,}", note)]


def _aggregated(found: Findings) -> list[tuple[str, str, str]]:
    if found.aggregated is None:
        return []
    count = sum(found.aggregated.finals.values())
    return [("results of aggregates", f"{count:,}", "final, of windows of event time; all held to DuckDB's")]


def _show_quarantine(found: Findings, console: Console) -> None:
    table = Table("fingerprint", "records", "why", title="Quarantine", title_justify="left", box=None, padding=(0, 2))
    for fingerprint, count in found.quarantined.most_common():
        table.add_row(fingerprint, str(count), found.reasons[fingerprint])
    console.print()
    console.print(table)


def _show_query(found: Findings, console: Console) -> None:
    query = QUERY.format(archive=found.archive)
    console.print("\n[bold]Where to look[/bold]")
    console.print(f"  objects              {found.archive}", highlight=False, soft_wrap=True)
    console.print("  a query with DuckDB, and what it gives:\n", highlight=False)
    console.print("    " + query.replace("\n", "\n    "), highlight=False, soft_wrap=True)
    with duckdb.connect() as database:
        answer = database.execute(query)
        columns = [column[0] for column in answer.description or ()]
        rows = answer.fetchall()
    _show_rows(columns, rows, console)


def _show_search(found: Searched, console: Console) -> None:
    for what, query in (("a search", SEARCH), ("an aggregation", AGGREGATION)):
        console.print(f"\n  {what} in OpenSearch, and what it gave:\n", highlight=False)
        console.print(f"    GET {INDICES}/_search {json.dumps(query)}", highlight=False, soft_wrap=True, markup=False)
        if query is SEARCH:
            _show_rows(["day", "flight", "to", "minutes late"], found.latest, console)
            console.print(f"  the latest of {found.late:,}", style="dim", highlight=False)
        else:
            _show_rows(["origin", "flights", "mean_delay"], found.by_origin, console)


def _show_warehouse(found: Warehoused, console: Console) -> None:
    query = CARRIERS.format(table=TABLE)
    console.print("\n  a query in the warehouse, the stand-in for Redshift, and what it gave:\n", highlight=False)
    console.print("    " + query.replace("\n", "\n    "), highlight=False, soft_wrap=True)
    _show_rows(COLUMNS, found.carriers, console)


def _show_busiest(found: Aggregated, console: Console) -> None:
    console.print(
        "\n  the live aggregate [bold]days[/bold]: the busiest routes, final results in S3\n", highlight=False
    )
    rows = [(day[:10], ", ".join(f"{route} {count}" for route, count in routes)) for day, routes in found.busiest]
    _show_rows(["day", "routes and their flights"], rows, console)


def _show_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], console: Console) -> None:
    table = Table(*columns, box=None, padding=(0, 2))
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    console.print()
    console.print(table)
