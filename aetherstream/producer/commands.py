"""`aetherstream produce` and `aetherstream tail`."""

from __future__ import annotations

import io
import random
import sys
import time
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click
import orjson

from aetherstream.eventtime import moment
from aetherstream.producer.calls import connect
from aetherstream.producer.model import MIB, Limits, Timing
from aetherstream.producer.producer import Producer
from aetherstream.producer.progress import progress_of
from aetherstream.producer.pump import Pace, Result, pump
from aetherstream.producer.source import format_of, read, uncompressed

_endpoint = click.option("--endpoint-url", help="Another endpoint than AWS's, e.g. that of the one-machine stack.")
_region = click.option("--region", help="The stream's region; by default that of the environment or profile.")


class StartOption(click.ParamType):
    """`latest`, `trim_horizon`, or a time: ISO 8601 (UTC unless it says otherwise) or epoch seconds."""

    name = "latest|trim_horizon|time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | datetime:
        """See click."""
        if isinstance(value, datetime):
            return value
        if str(value).lower() in ("latest", "trim_horizon"):
            return str(value).upper()
        try:
            return moment(value)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is neither latest, trim_horizon, an ISO 8601 time nor epoch seconds", param, ctx)


@click.command()
@click.argument("stream")
@click.argument("file", default="-", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--format", "kind", type=click.Choice(["ndjson", "csv"]), help="By default, by the file's name.")
@click.option("--typed", is_flag=True, help="CSV: cells that look like numbers, true or false become such.")
@click.option("--key", metavar="FIELD", help="Take the partition key from this field. By default a random key each.")
@click.option("--aggregate/--no-aggregate", default=False, help="Pack records of one shard into KPL aggregates.")
@click.option("--ordered", is_flag=True, help="Keep the order of each key (slow with few keys and no aggregation).")
@click.option("--gzip", "compress", is_flag=True, help="Compress each record.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="At most N records a second.")
@click.option("--max-record-bytes", type=click.IntRange(1, 10 * MIB), default=MIB, help="The stream's MaxRecordSize.")
@click.option("--timeout", type=float, default=120.0, show_default=True, help="Seconds until a record is given up.")
@click.option("--skip-bad", is_flag=True, help="Bad lines are still reported, but do not fail the command.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@_endpoint
@_region
def produce(
    *,
    stream: str,
    file: str,
    kind: str | None,
    typed: bool,
    key: str | None,
    aggregate: bool,
    ordered: bool,
    compress: bool,
    rate: float | None,
    max_record_bytes: int,
    timeout: float,
    skip_bad: bool,
    as_json: bool,
    endpoint_url: str | None,
    region: str | None,
) -> None:
    """Put events from FILE (NDJSON or CSV, also .gz; - is stdin) on STREAM (name or ARN).

    Bad lines are named on stderr and skipped; the exit code is then 1, unless --skip-bad. Progress goes to stderr, the
    report to stdout.
    """
    name = "stdin" if file == "-" else file
    producer = Producer(
        stream,
        client=connect(endpoint_url, region, senders=4),
        aggregation="shard" if aggregate else "none",
        ordered=ordered,
        limits=Limits(
            record_bytes=max_record_bytes,
            request_bytes=max(5 * MIB, max_record_bytes),
            aggregate_bytes=min(50 * 1024, max_record_bytes),
        ),
        timing=Timing(delivery_timeout=timeout),
    )
    with _open(file) as raw, progress_of(raw, file) as progress:
        result = pump(
            producer,
            read(uncompressed(file, raw), "csv" if (kind or format_of(file)) == "csv" else "ndjson", typed=typed),
            key_field=key,
            compress=compress,
            pace=Pace(rate, time.monotonic, time.sleep),
            random=random.Random(),  # noqa: S311 - spreads records over shards, protects nothing
            complain=lambda line, reason: progress.say(f"{name}:{line}: {reason}"),
            tick=lambda so_far: progress.tick(so_far.read, so_far.bad),
        )
    click.echo(orjson.dumps(result.as_json()).decode() if as_json else _report(stream, result))
    if result.counters.failed or result.stopped or (result.bad and not skip_bad):
        raise SystemExit(1)


def _open(file: str) -> Any:
    return nullcontext(sys.stdin.buffer) if file == "-" else io.BufferedReader(io.FileIO(Path(file)), MIB)


def _report(stream: str, result: Result) -> str:
    counters = result.counters
    rate = counters.delivered / result.seconds if result.seconds else 0.0
    outcome = f"{counters.delivered:,} of {result.read:,} records delivered to {stream}"
    load = f"{counters.bytes:,} bytes, {counters.entries:,} Kinesis records, {counters.requests:,} requests"
    trouble = f"{counters.retries:,} sent again, {counters.throttles:,} throttled"
    lines = [f"{outcome} in {result.seconds:.1f} s ({rate:,.0f} records/s)", f"  {load} ({trouble})"]
    if result.bad:
        lines.append(f"  {result.bad:,} bad lines skipped")
    if counters.failed:
        lines.append(f"  {counters.failed:,} records NOT delivered")
    if result.stopped:
        lines.append(f"  stopped early: {result.stopped}")
    return "\n".join(lines)


@click.command()
@click.argument("stream")
@click.option("--from", "start", type=StartOption(), default="LATEST", show_default="latest", help="Where to begin.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many lines.")
@click.option("--shard", help="Only this shard.")
@click.option("--raw", is_flag=True, help="Kinesis records as they are (base64), not decoded.")
@click.option("--position", is_flag=True, help="Say with each event where it stands, its arrival and partition key.")
@click.option("--follow/--no-follow", default=True, help="Wait for more at the end of the stream, or stop there.")
@_endpoint
@_region
def tail(
    *,
    stream: str,
    start: str | datetime,
    limit: int | None,
    shard: str | None,
    raw: bool,
    position: bool,
    follow: bool,
    endpoint_url: str | None,
    region: str | None,
) -> None:
    """Print what comes over STREAM, decoded: one JSON a line, records that can't be decoded with the reason why."""
    from aetherstream.producer.rendering import decoded, undecoded
    from aetherstream.producer.tail import Tail

    client: Any = connect(endpoint_url, region, senders=1)
    source = Tail(client, stream, start=start, only=shard, sleep=time.sleep)
    printed = 0
    output: IO[bytes] = sys.stdout.buffer
    for batch in source.batches(follow=follow):
        for line in undecoded(batch) if raw else decoded(batch, positions=position):
            output.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            printed += 1
            if printed == limit:
                output.flush()
                return
        output.flush()
