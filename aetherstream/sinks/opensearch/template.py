"""What the sink wants of the cluster: index template and lifecycle policy, as plain values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["index", "alias", "data_stream"]


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """What the pipeline file says of the indices of one sink."""

    template: str
    """Name of the index template and of the policy: `<pipeline>-<sink>`."""
    kind: Kind
    target: str
    """The prefix of the index names, the alias, or the data stream."""
    mappings: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    """By field: the name of a type, or a whole mapping."""
    dynamic: bool | Literal["strict"] = True
    field_limit: int = 1000
    ignore_above: int = 1024
    shards: int = 1
    replicas: int = 1
    refresh: str | None = None
    retention: str | None = None
    """As OpenSearch writes durations (`90d`): indices older than this are removed, where the cluster has ISM."""
    rollover_age: str | None = None
    rollover_size: str | None = None
    timestamp: str = "@timestamp"
    """Of a data stream: the field that holds the event time."""
