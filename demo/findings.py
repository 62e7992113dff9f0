"""What a run came to: counted from what stands in S3, OpenSearch, Redshift, the dead letters and the progress table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from aetherstream.delivery.breaker_item import PREFIX
from aetherstream.delivery.dynamodb import from_item
from aetherstream.local.stack import Stack
from aetherstream.objects import lines_of
from demo.aggregates import Aggregated, Result, compare
from demo.search import Index, Searched
from demo.traffic import Expectation
from demo.warehouse import Warehoused, look
from demo.warehouse import results as warehoused_results

STAGED = "flights/staging/"
"""Where rows wait for the warehouse, and the manifests of their loads."""
RESULTS = "flights/results/"
"""Final results of the aggregates."""
KEPT = (STAGED, RESULTS, "flights/spill/", "flights/.aggregates/")
"""Prefixes with something else than events of the archive or envelopes of the quarantine."""


@dataclass(slots=True)
class Findings:
    """The numbers of a run."""

    expected: Expectation
    seconds: float
    archive: Path
    """Where the objects stand as files."""
    counters: Counter[str] = field(default_factory=Counter)
    """Totals of the progress items over all shards."""
    lines: int = 0
    """Lines in the archive's objects."""
    distinct: int = 0
    """Distinct event ids among them."""
    quarantined: Counter[str] = field(default_factory=Counter)
    """Envelopes by fingerprint."""
    reasons: dict[str, str] = field(default_factory=dict)
    """`stage: reason` of each fingerprint."""
    objects: int = 0
    bytes: int = 0
    dead_letters: int = 0
    unfinished: int = 0
    """Keys that attempts noted and no completion covers."""
    search: Searched | None = None
    """What OpenSearch has; None where the run was without."""
    warehouse: Warehoused | None = None
    """What the stand-in for Redshift has; None where the run was without."""
    aggregated: Aggregated | None = None
    """What the results of the aggregates say, and what DuckDB says."""
    loaded_after: float = 0.0
    """Seconds from the last record that was processed to the last load."""

    @property
    def records_in(self) -> int:
        """User records that were sent: single ones, KPL sub-records, lines, array elements."""
        return self.expected.user_records

    def checks(self) -> dict[str, bool]:
        """Each part of the balance, by what it says."""
        count = self.counters
        refused = sum(self.quarantined.values())
        return {
            f"{self.records_in:,} records sent = {count['passed']:,} passed on + {refused:,} quarantined + "
            f"{count['dropped']:,} dropped": self.records_in == count["passed"] + refused + count["dropped"],
            f"{count['archive.events']:,} events made for archive = {self.lines:,} lines there": count["archive.events"]
            == count["archive.delivered"]
            == self.lines,
            **self._search_check(),
            **self._warehouse_checks(),
            f"no event twice: {self.distinct:,} distinct event ids": self.distinct == self.lines,
            f"{refused:,} quarantined = {sum(self.expected.broken.values()):,} broken on purpose": refused
            == count["quarantined"]
            == sum(self.expected.broken.values()),
            **(self.aggregated.checks() if self.aggregated is not None else {}),
            "no dead letters, nothing left open": self.dead_letters == 0 and self.unfinished == 0,
        }

    def _search_check(self) -> dict[str, bool]:
        if self.search is None:
            return {}
        count = self.counters
        events, documents = count["search.events"], self.search.documents
        brought = count["search.delivered"] + count["search.spilled"]
        return {f"{events:,} events made for search = {documents:,} documents there": events == brought == documents}

    def _warehouse_checks(self) -> dict[str, bool]:
        found = self.warehouse
        if found is None:
            return {}
        events, delivered = self.counters["warehouse.events"], self.counters["warehouse.delivered"]
        same = found.lacking == found.foreign == 0 and found.distinct == found.rows
        return {
            f"{events:,} events made for warehouse = {found.rows:,} rows there": events == delivered == found.rows,
            f"each event of the archive in one row: {found.distinct:,} event ids": same,
            "the query gives there what DuckDB computes from the file": found.carriers == found.carriers_in_file,
        }

    @property
    def balanced(self) -> bool:
        """Whether every record is accounted for, once."""
        return all(self.checks().values())


def collect(
    stack: Stack,
    expected: Expectation,
    seconds: float,
    index: Index | None = None,
    login: Mapping[str, Any] | None = None,
) -> Findings:
    """Read everything that the run left. `index` is OpenSearch as it stood before, `login` that of the warehouse."""
    bucket = stack.outputs["BucketName"]
    found = Findings(expected, seconds, stack.object_files(bucket) / "flights" / "archive")
    pages = stack.clients.get("dynamodb").get_paginator("scan")
    for page in pages.paginate(TableName=stack.outputs["ProgressTableName"]):
        for item in page["Items"]:
            if item["pk"]["S"].startswith(PREFIX):
                continue
            progress = from_item(dict(item))
            found.counters.update(progress.counters)
            found.unfinished += len(progress.open)
    ids: set[str] = set()
    results: dict[str, list[Result]] = {}
    for key, body in _objects(stack, bucket, "flights/"):
        found.objects += 1
        found.bytes += len(body)
        if key.startswith(RESULTS):
            for line in lines_of(key, body):
                results.setdefault(orjson.loads(line)["aggregate"], []).append(orjson.loads(line))
        for line in [] if key.startswith(KEPT) else lines_of(key, body):
            value = orjson.loads(line)
            if key.startswith("flights/quarantine/"):
                found.quarantined[value["fingerprint"]] += 1
                found.reasons[value["fingerprint"]] = f"{value['stage']}: {value['reason']}"
            else:
                found.lines += 1
                ids.add(value["_event_id"])
    found.distinct = len(ids)
    found.dead_letters = sum(1 for _ in _objects(stack, stack.outputs["DeadLetterBucketName"], "aws/"))
    if index is not None:
        index.settle(stack, found.counters["search.events"])
        found.search = index.look()
    places = {}
    if index is not None:
        places["search"] = index.results()
    if login is not None:
        found.warehouse = look(login, ids, expected.events)
        places["warehouse"] = warehoused_results(login)
    found.aggregated = compare(results, expected.events, places)
    return found


def _objects(stack: Stack, bucket: str, prefix: str) -> list[tuple[str, bytes]]:
    s3 = stack.clients.s3
    return [
        (entry["Key"], s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for entry in page.get("Contents", [])
    ]
