"""The batch that everything is measured on: 10,000 telemetry events of about 345 bytes, plain and as KPL aggregates."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aetherstream.testing.events import kinesis_event, kpl

RECORDS = 10_000
PER_AGGREGATE = 50
START = 1_763_700_000.0
HERE = Path(__file__).parent


def telemetry(index: int, rng: random.Random) -> dict[str, Any]:
    """One event of a device."""
    time = datetime.fromtimestamp(START + index * 0.2, UTC)
    return {
        "message_id": f"{rng.getrandbits(128):032x}",
        "device_id": f"dev-{rng.randrange(500):05d}",
        "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "type": rng.choice(["telemetry", "status", "alert"]),
        "temperature": round(rng.gauss(20, 5), 3),
        "humidity": round(rng.random() * 100, 2),
        "battery": rng.randint(0, 100),
        "location": {"lat": round(rng.uniform(-90, 90), 6), "lon": round(rng.uniform(-180, 180), 6)},
        "tags": ["fleet-a", "outdoor", rng.choice(["north", "south", "east", "west"])],
        "firmware": f"1.{rng.randrange(9)}.{rng.randrange(20)}",
        "debug": f"trace={rng.getrandbits(64):016x}",
        "site": "plant-7/hall-3",
    }


def payloads() -> list[bytes]:
    """The events as producers send them."""
    rng = random.Random(20261121)
    return [json.dumps(telemetry(index, rng), separators=(",", ":")).encode() for index in range(RECORDS)]


def plain(data: list[bytes]) -> dict[str, Any]:
    """The Lambda event with one event a Kinesis record."""
    return kinesis_event(data, arrival=START)


def aggregated(data: list[bytes]) -> dict[str, Any]:
    """The Lambda event with fifty events a Kinesis record, as the KPL packs them."""
    return kinesis_event(
        [kpl(data[at : at + PER_AGGREGATE]) for at in range(0, len(data), PER_AGGREGATE)], arrival=START
    )
