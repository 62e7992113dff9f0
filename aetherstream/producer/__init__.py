"""Putting events into a Kinesis stream: batching, KPL aggregation, retries of what failed, order where asked for."""

from aetherstream.producer.model import (
    Aggregation,
    BufferFull,
    Callback,
    Counters,
    Delivery,
    DeliveryError,
    FlushTimeout,
    Limits,
    RecordRefused,
    RecordsLostError,
    Timing,
)
from aetherstream.producer.producer import Producer

__all__ = [
    "Aggregation",
    "BufferFull",
    "Callback",
    "Counters",
    "Delivery",
    "DeliveryError",
    "FlushTimeout",
    "Limits",
    "Producer",
    "RecordRefused",
    "RecordsLostError",
    "Timing",
]
