"""`aetherstream run`: push an event file or an NDJSON file through a pipeline, without AWS."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO

import click

from aetherstream.errors import UsageError
from aetherstream.objects import lines_of
from aetherstream.records import KinesisRecords
from aetherstream.report import Report

BATCH = 10_000
_ARRIVAL = 1_767_225_600.0
"""Arrival of the records of a file, 2026-01-01: a run over the same file gives the same objects."""


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path, dir_okay=False), default="pipelines/flights.yaml")
@click.option(
    "--event", type=click.Path(path_type=Path, dir_okay=False), help="A Lambda event, such as events/good.json."
)
@click.option("--input", "lines", type=click.File("rb"), help="NDJSON, a record a line; - for standard input.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=".aetherstream/run", show_default=True)
@click.option("--dry-run", is_flag=True, help="Say what would be delivered, and touch nothing.")
def run(pipeline: Path, event: Path | None, lines: BinaryIO | None, out: Path, *, dry_run: bool) -> None:
    """Push events through PIPELINE with local sinks: objects become files; response and accounting are printed."""
    if (event is None) == (lines is None):
        raise UsageError(
            "say what to run: --event FILE (a Lambda event), or --input FILE (NDJSON, - for standard input)"
        )
    batches = [read_event(event)] if event is not None else _batches(lines) if lines is not None else []
    for report, objects, documents in _process(pipeline, batches):
        _show(report, objects, documents, None if dry_run else out)


Made = list[tuple[str, bytes, str]]
"""Objects: `bucket/key`, bytes, how many events."""
Placed = list[tuple[str, str, int]]
"""Documents: sink, index, how many."""


def _process(
    path: Path, batches: Iterator[KinesisRecords] | list[KinesisRecords]
) -> Iterator[tuple[Report, Made, Placed]]:
    from concurrent.futures import ThreadPoolExecutor

    from aetherstream.app import engine_of
    from aetherstream.commands.pipeline import importable
    from aetherstream.compose import placements_of, tables_of
    from aetherstream.delivery.ledger import Ledger, Unledgered
    from aetherstream.delivery.recorded import MemoryProgress, RecordedObjects, RecordedSink
    from aetherstream.pipeline import load

    importable()
    pipeline = load(path, {"AETHERSTREAM_BUCKET": "aetherstream-local", **os.environ})
    tables = tables_of(pipeline, _read_local)
    store = RecordedObjects()
    record_sinks = [RecordedSink(place.name) for place in placements_of(pipeline)]
    # As deployed, so that the objects have the keys that they will have there; a run begins with an empty table.
    exactly_once = pipeline.file.delivery == "exactly_once"
    ledger = Ledger(MemoryProgress(), "run") if exactly_once else Unledgered()
    with ThreadPoolExecutor(4) as executor:
        engine = engine_of(
            pipeline,
            tables,
            store=store,
            ledger=ledger,
            record_sinks=record_sinks,
            executor=executor,
            secrets=dict(os.environ),
        )
        for batch in batches:
            report = engine.process(batch, lambda: 900.0)
            made = [(f"{o.bucket}/{o.key}", o.body, o.metadata["aether-count"]) for o in store.objects]
            placed = [(sink.name, place, n) for sink in record_sinks for place, n in sorted(sink.places.items())]
            store.objects.clear()
            for sink in record_sinks:
                sink.places.clear()
            yield report, sorted(made), placed


def _read_local(uri: str) -> bytes:
    if uri.startswith("s3://"):
        raise UsageError(f"the table {uri} is in S3; `aetherstream run` has no AWS: use a file beside the pipeline")
    return Path(uri).read_bytes()


def read_event(path: Path) -> KinesisRecords:
    """Read a Lambda event from a file. Raises UsageError, ConfigurationError."""
    from aetherstream.decode import read_batch

    try:
        event: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    return read_batch(event)


def _batches(lines: BinaryIO) -> Iterator[KinesisRecords]:
    numbers = count(49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898)
    stripped = (line.rstrip(b"\r\n") for line in lines)
    while part := list(islice(stripped, BATCH)):
        yield KinesisRecords(
            stream="arn:aws:kinesis:local:000000000000:stream/file",
            shard="shardId-000000000000",
            sequences=[str(next(numbers)) for _ in part],
            arrivals=[_ARRIVAL] * len(part),
            keys=["file"] * len(part),
            data=[base64.b64encode(line).decode() for line in part],
        )


def _show(report: Report, objects: Made, documents: Placed, out: Path | None) -> None:
    say = click.echo
    say(
        f"{report.records_in} records in = {report.passed} passed on + {report.quarantined} quarantined + "
        f"{report.dropped} dropped + {report.settled} settled before + {report.left} left for retry"
    )
    for reason, number in sorted(report.reasons.items()):
        say(f"  quarantined {number}: {reason}")
    for name, body, events in objects:
        say(f"  {'would write' if out is None else 'wrote'} {events} to {name} ({len(body)} bytes)")
        if out is None:
            _preview(name, body)
        else:
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
    for sink, place, number in documents:
        say(f"  would send {number} documents to {sink} (index {place})")
    if report.error:
        say(f"  left for retry: {report.error}", err=True)
    say(json.dumps(report.response()))
    if out is not None and objects:
        say(f"The objects are files below {out}", err=True)
    sys.stdout.flush()


def _preview(name: str, body: bytes) -> None:
    for line in lines_of(name, body)[:3]:
        click.echo(f"    {line.decode('utf-8', 'replace')[:160]}")
