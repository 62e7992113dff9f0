"""What a sink wants of the cluster, as the JSON that OpenSearch takes, and how what is live differs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aetherstream.encoded import EVENT_ID, IDENTITY

Kind = Literal["index", "alias", "data_stream", "single"]
"""single: one index of just this name."""

OWN: Mapping[str, str] = {EVENT_ID: "keyword", IDENTITY: "keyword"}
"""What stands in every document of an event."""

_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """What the pipeline file says of the indices of one sink."""

    template: str
    """Name of the index template and of the policy: `<pipeline>-<sink>`."""
    kind: Kind
    target: str
    """The prefix of the index names, the alias, the data stream, or the one index."""
    mappings: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    """By field (dots reach into objects): the name of a type, or a whole mapping."""
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
    """As OpenSearch writes sizes (`30gb`): of the primary shards together."""
    timestamp: str = "@timestamp"
    """Of a data stream: the field that holds the event time."""
    own: Mapping[str, str] = field(default_factory=lambda: OWN)
    """Mapped beside `mappings`, in every index of this sink."""
    numbers: str | None = None
    """Type of numbers that are not mapped; None: by their first value, which makes 1 and 1.5 two types."""
    remembers_removed: str | None = None
    """For how long it is known that a document was removed, so that no older version brings it back; None: OpenSearch's
    60 s. As OpenSearch writes durations."""

    @property
    def pattern(self) -> str:
        """What the names of its indices match."""
        return self.target if self.kind in ("data_stream", "single") else f"{self.target}-*"

    @property
    def first_index(self) -> str:
        """Of an alias: the index that it begins with. OpenSearch raises the number with each rollover."""
        return f"{self.target}-000001"

    @property
    def managed(self) -> bool:
        """Whether it wants a lifecycle policy."""
        return any((self.retention, self.rollover_age, self.rollover_size))


def index_template(spec: IndexSpec, *, ism: bool, serverless: bool = False) -> dict[str, Any]:
    """Make the index template; `ism`: the cluster knows lifecycle policies, `serverless`: it places shards itself."""
    settings: dict[str, Any] = {"mapping": {"total_fields": {"limit": spec.field_limit}}}
    if not serverless:
        settings |= {"number_of_shards": spec.shards, "number_of_replicas": spec.replicas}
        if spec.refresh is not None:
            settings["refresh_interval"] = spec.refresh
        if spec.remembers_removed is not None:
            settings["gc_deletes"] = spec.remembers_removed
    if ism and spec.kind == "alias" and spec.managed:
        settings["plugins"] = {"index_state_management": {"rollover_alias": spec.target}}
    wanted: dict[str, Any] = {
        "index_patterns": [spec.pattern],
        # Of two sinks whose patterns overlap (`app-*`, `app-web-*`) the longer name is meant.
        "priority": _PRIORITY + len(spec.target),
        "template": {"settings": {"index": settings}, "mappings": mappings(spec)},
    }
    if spec.kind == "data_stream":
        wanted["data_stream"] = {"timestamp_field": {"name": spec.timestamp}}
    return wanted


def mappings(spec: IndexSpec) -> dict[str, Any]:
    """Make the mappings: the pipeline's fields, and what becomes of those that it does not name."""
    properties: dict[str, Any] = {}
    named: dict[str, str | Mapping[str, Any]] = dict(spec.own)
    if spec.kind == "data_stream":
        named[spec.timestamp] = "date"
    for path, mapping in {**named, **spec.mappings}.items():
        *parents, name = path.split(".")
        level = properties
        for parent in parents:
            level = level.setdefault(parent, {}).setdefault("properties", {})
        level[name] = {"type": mapping} if isinstance(mapping, str) else dict(mapping)
    by_type: dict[str, dict[str, Any]] = {"string": {"type": "keyword", "ignore_above": spec.ignore_above}}
    if spec.numbers is not None:
        by_type |= {"long": {"type": spec.numbers}, "double": {"type": spec.numbers}}
    names = {"string": "strings", "long": "integers", "double": "floats"}
    return {
        "dynamic": spec.dynamic,
        # Whether a field is a date must not hang on the first value that comes.
        "date_detection": False,
        "dynamic_templates": [
            {names[kind]: {"match_mapping_type": kind, "mapping": mapping}} for kind, mapping in by_type.items()
        ],
        "properties": properties,
    }


def policy(spec: IndexSpec) -> dict[str, Any]:
    """Make the lifecycle policy (ISM): roll over, and remove what is older than the retention."""
    rollover: dict[str, Any] = {}
    if spec.rollover_age is not None:
        rollover["min_index_age"] = spec.rollover_age
    if spec.rollover_size is not None:
        rollover["min_size"] = spec.rollover_size
    live: dict[str, Any] = {"name": "live", "actions": [{"rollover": rollover}] if rollover else [], "transitions": []}
    states = [live]
    if spec.retention is not None:
        # The age since the rollover, where there is one: the youngest document counts.
        age = "min_rollover_age" if rollover else "min_index_age"
        live["transitions"] = [{"state_name": "remove", "conditions": {age: spec.retention}}]
        states.append({"name": "remove", "actions": [{"delete": {}}], "transitions": []})
    return {
        "policy": {
            "description": f"aetherstream: {spec.template}",
            "default_state": "live",
            "states": states,
            "ism_template": [{"index_patterns": [spec.pattern], "priority": _PRIORITY + len(spec.target)}],
        }
    }


def template_differences(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Compare index templates; each line `path: live → wanted`.

    OpenSearch answers settings as text and leaves out what is empty, so values are compared as text.
    """
    have, want = dict(_flat(live)), dict(_flat(wanted))
    paths = sorted(path for path in have.keys() | want.keys() if have.get(path) != want.get(path))
    return [_line(path, have.get(path), want.get(path)) for path in paths]


def policy_differences(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Compare lifecycle policies; what OpenSearch adds of its own (retries, times, versions) does not count."""
    have, want = ({**dict(_flat(each)), **dict(_lengths(each))} for each in (live, wanted))
    return [_line(path, have.get(path), want[path]) for path in sorted(want) if have.get(path) != want[path]]


def _line(path: str, live: str | None, wanted: str | None) -> str:
    return f"{path}: {'nothing' if live is None else live} → {'nothing' if wanted is None else wanted}"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, held in value.items():
            yield from _flat(held, f"{path}.{name}" if path else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, held in enumerate(value):
            yield from _flat(held, f"{path}[{index}]")
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    elif value is not None:
        yield path, str(value)


def _lengths(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, held in value.items():
            yield from _lengths(held, f"{path}.{name}" if path else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield f"{path} (entries)", str(len(value))
        for index, held in enumerate(value):
            yield from _lengths(held, f"{path}[{index}]")
