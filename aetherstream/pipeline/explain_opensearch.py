"""An OpenSearch sink in words, and what is doubtful about one."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec import UnsetType

from aetherstream.pipeline.model_opensearch import OpenSearchSink
from aetherstream.pipeline.model_outage import SpillPlace
from aetherstream.transforms.mistakes import nearest

_PERIODS = {"hour": "%Y.%m.%d.%H", "day": "%Y.%m.%d", "month": "%Y.%m", "year": "%Y"}
_ENTRY = {
    "none": "without credentials",
    "basic": "as a user with a password",
    "es": "signed for OpenSearch Service",
    "aoss": "signed for OpenSearch Serverless",
}
_LOOPBACK = re.compile(r"http://(localhost|127\.[0-9.]+|\[::1\])(:|/|$)")
_TYPES = frozenset(
    {"alias", "binary", "boolean", "byte", "completion", "constant_keyword", "date", "date_nanos", "date_range"}
    | {"derived", "double", "double_range", "flat_object", "float", "float_range", "geo_point", "geo_shape"}
    | {"half_float", "icu_collation_keyword", "integer", "integer_range", "ip", "ip_range", "join", "keyword"}
    | {"knn_vector", "long", "long_range", "match_only_text", "murmur3", "nested", "object", "percolator"}
    | {"rank_feature", "rank_features", "scaled_float", "search_as_you_type", "semantic", "short", "star_tree", "text"}
    | {"token_count", "unsigned_long", "version", "wildcard", "xy_point", "xy_shape", "annotated_text"}
)
"""Of OpenSearch 3 and of the plug-ins that come with it."""


def in_words(sink: OpenSearchSink, moment: datetime, *, identified: bool) -> Iterator[str]:
    """Yield what a sink does; `moment` is an example of an event time."""
    if sink.is_off:
        yield "switched off: its endpoint is empty; with one:"
    else:
        yield f"OpenSearch at {sink.endpoint}, {_ENTRY[sink.auth]}"
    yield f"{_place(sink, moment)}; _id: {'the identity' if identified else 'the position in the stream'}"
    yield _fields(sink)
    if sink.retention:
        yield f"an index is deleted at the age of {sink.retention}"
    if sink.on_outage == "block":
        yield "while it is down: the shard waits"
        return
    spill, rate = sink.spill or SpillPlace(), sink.drain.rate if sink.drain else 0
    yield f"while it is down: spilled to s3://{spill.bucket}/{spill.prefix}/..., brought later, {rate:,} documents/s"


def _place(sink: OpenSearchSink, moment: datetime) -> str:
    if not isinstance(sink.index, UnsetType):
        period = sink.period or "day"
        return f"index {sink.index}-{moment.strftime(_PERIODS[period])}, by the {period} of the event time"
    kind = "alias" if sink.kind == "alias" else "data stream"
    if isinstance(sink.rollover, UnsetType):
        return f"{kind} {sink.target}, one index behind it"
    limits = [f"at {value}" for value in (sink.rollover.age, sink.rollover.size) if not isinstance(value, UnsetType)]
    return f"{kind} {sink.target}, a new index behind it {' or '.join(limits)}"


def _fields(sink: OpenSearchSink) -> str:
    count = len(sink.mappings)
    others = {True: "are mapped by their first value", False: "are stored and not searched"}
    rest = "refuse the document" if sink.dynamic == "strict" else others[bool(sink.dynamic)]
    shards = f"{sink.shards} shard{'' if sink.shards == 1 else 's'}"
    replicas = f"{sink.replicas} replica{'' if sink.replicas == 1 else 's'}"
    return f"{count} field{'' if count == 1 else 's'} mapped, others {rest}; {shards}, {replicas}"


def warnings(name: str, sink: OpenSearchSink) -> Iterator[str]:
    """Yield what is allowed of a sink and probably not meant."""
    where = f"sinks.{name}"
    if sink.kind != "index":
        kind = "an alias" if sink.kind == "alias" else "a data stream"
        yield (
            f"{where} writes to {kind}: an event that comes again after a rollover is stored a second time; `index`"
            " names the index by event time and keeps one"
        )
        if isinstance(sink.rollover, UnsetType):
            yield f"{where} has no rollover: the one index behind {sink.target!r} grows for ever"
    if sink.auth == "aoss":
        yield from _serverless(where, sink)
    if sink.auth == "basic" and (sink.endpoint or "").startswith("http://") and not _LOOPBACK.match(str(sink.endpoint)):
        yield f"{where} sends its user's password unencrypted: its endpoint is no https"
    if not sink.mappings and sink.dynamic is True:
        yield (
            f"{where} has no mappings: in each index the first value of a field decides its type, and documents with"
            " another one are quarantined"
        )
    for field, type_ in _types(sink.mappings, ""):
        if type_ not in _TYPES:
            close = hint if "mean" in (hint := nearest(type_, _TYPES)) else ""
            yield f"{where} maps {field!r} as {type_!r}, which is no field type that OpenSearch comes with{close}"


def _serverless(where: str, sink: OpenSearchSink) -> Iterator[str]:
    if sink.kind == "data_stream":
        yield f"{where}: OpenSearch Serverless has no data streams"
    for name in ("retention", "rollover"):
        if not isinstance(getattr(sink, name), UnsetType):
            yield f"{where}: OpenSearch Serverless has no index state management: `{name}` does nothing there"


def _types(mappings: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for name, written in mappings.items():
        if isinstance(written, str):
            yield above + name, written
        elif isinstance(written, dict):
            if isinstance(written.get("type"), str):
                yield above + name, written["type"]
            for inner in ("properties", "fields"):
                yield from _types(written.get(inner) or {}, f"{above}{name}.")
