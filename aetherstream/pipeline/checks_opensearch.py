"""What a schema can't say of an OpenSearch sink: its URL and credentials, OpenSearch's rules for names, mappings."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import UnsetType

from aetherstream.encoded import EVENT_ID, IDENTITY
from aetherstream.pipeline.document import Document
from aetherstream.pipeline.mistakes import Path
from aetherstream.pipeline.model import PipelineFile
from aetherstream.pipeline.model_opensearch import OpenSearchSink
from aetherstream.pipeline.model_outage import BreakerRules
from aetherstream.pipeline.model_sinks import Sink

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^/@]*@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]+))?(?:/[^?#]*)?(?P<rest>[?#].*)?"
)
_LONGEST_NAME = 255
"""OpenSearch: bytes of an index name (MetadataCreateIndexService)."""
_PERIOD_BYTES = {"hour": 14, "day": 11, "month": 8, "year": 5}
_ALIAS_BYTES = len("-000001")
_DATA_STREAM_BYTES = len(".ds-") + len("-000001")
_NOT_IN_A_NAME = '\\/*?"<>| ,#:'
_MOST_BYTES = 100 * 1024 * 1024
"""OpenSearch: the default of `http.max_content_length`."""
_METADATA_FIELDS = frozenset(
    {"_id", "_index", "_source", "_routing", "_type", "_version", "_seq_no", "_primary_term", "_field_names"}
    | {"_ignored", "_meta", "_size", "_nested_path", "_data_stream_timestamp", "_doc_count", "_tier"}
)
_OWN_FIELDS = frozenset({EVENT_ID, IDENTITY})


def check_opensearch(sink: OpenSearchSink, path: Path, file: PipelineFile, document: Document) -> None:
    """Note what is wrong with a sink."""
    if not sink.is_off:
        _endpoint(sink, path, document)
        _credentials(sink, path, document)
    _target(sink, path, file, document)
    _mappings(sink, path, document)
    _outage(sink, path, document)
    _amounts(sink, path, document)


def check_together(sinks: Mapping[str, Sink], document: Document) -> None:
    """Note sinks that write into the same indices of one cluster: an event of both would be stored once."""
    seen: dict[tuple[str, str], str] = {}
    for name, sink in sinks.items():
        if isinstance(sink.opensearch, UnsetType) or len(sink.opensearch.kinds) != 1:
            continue
        if document.lost(("sinks", name, "opensearch", "endpoint")):
            continue
        kind = sink.opensearch.kind
        place = (sink.opensearch.endpoint or "", sink.opensearch.target)
        if (other := seen.setdefault(place, name)) != name:
            document.add(
                ("sinks", name, "opensearch", kind),
                f"sinks.{other} writes to {place[1]!r} of this cluster too: an event that goes to both would be stored"
                " once; give each a name of its own",
            )


def _endpoint(sink: OpenSearchSink, path: Path, document: Document) -> None:
    at, endpoint = (*path, "endpoint"), sink.endpoint or ""
    if not endpoint:
        document.add(at, "is empty; give the cluster's URL, or `optional: true`, which switches the sink off then")
        return
    url = _URL.fullmatch(endpoint)
    if "@" in endpoint:  # not repeated: it may be a password
        document.add(at, "holds a user name or password; give them as `auth: basic` with `secret`, or with `username`")
    elif url is None:
        document.add(at, f"{endpoint!r} is no URL; write https://host or https://host:port")
    elif url["scheme"] not in ("http", "https"):
        document.add(at, f"{endpoint!r} begins with {url['scheme']}://; write https://host or https://host:port")
    elif url["rest"]:
        document.add(at, f"{endpoint!r}: leave out {url['rest']!r}")
    elif url["port"] and not 0 < int(url["port"][:6]) < 65536:
        document.add(at, f"{endpoint!r}: a port is 1 to 65535")
    elif sink.auth in ("es", "aoss") and url["scheme"] == "http":
        document.add(at, f"{endpoint!r}: `auth: {sink.auth}` needs https, which is all that the service answers to")


def _credentials(sink: OpenSearchSink, path: Path, document: Document) -> None:
    if sink.auth != "basic" or any(document.lost((*path, name)) for name in ("secret", "username", "password")):
        return
    if sink.secret and (sink.username or sink.password):
        document.add((*path, "secret"), "give either `secret`, or `username` and `password`", on_key=True)
    elif not sink.secret and not (sink.username and sink.password):
        lacks = "password" if sink.username else "username" if sink.password else ""
        message = (
            f"`auth: basic` lacks `{lacks}`" if lacks else "`auth: basic` needs `secret`, or `username` and `password`"
        )
        document.add((*path, "auth"), message)


def _target(sink: OpenSearchSink, path: Path, file: PipelineFile, document: Document) -> None:
    kinds = sink.kinds
    if not kinds:
        document.add(path, "needs exactly one of: index, alias, data_stream")
        return
    if len(kinds) > 1:
        document.add((*path, kinds[1]), f"only one of {', '.join(kinds)} may stand here", on_key=True)
        return
    if "index" not in kinds and not isinstance(sink.period, UnsetType):
        document.add(
            (*path, "period"), f"belongs to `index`; of {_with_article(kinds[0])} it says nothing", on_key=True
        )
    if "index" in kinds and not isinstance(sink.rollover, UnsetType):
        document.add(
            (*path, "rollover"),
            "belongs to `alias` and `data_stream`; with `index`, `period` says when a new index begins",
            on_key=True,
        )
    room = {"index": _PERIOD_BYTES[sink.period or "day"], "alias": _ALIAS_BYTES, "data_stream": _DATA_STREAM_BYTES}
    wrong = next(wrong_names(sink.target, room[kinds[0]]), None)
    if wrong:
        document.add((*path, kinds[0]), wrong)
    if kinds[0] == "data_stream":
        _data_stream(sink, path, file, document)


def _with_article(kind: str) -> str:
    return "an alias" if kind == "alias" else "a data stream"


def wrong_names(name: str, room: int) -> Iterator[str]:
    """What is wrong with an index name by OpenSearch's MetadataCreateIndexService; `room`: bytes that are appended."""
    if name != name.lower():
        yield f"{name!r}: OpenSearch takes lower-case names only; write {name.lower()!r}"
    if found := "".join(character for character in _NOT_IN_A_NAME if character in name):
        yield f"{name!r} holds {found!r}; OpenSearch takes none of {_NOT_IN_A_NAME} in a name"
    if name.startswith(("_", "-", "+", ".")):
        yield f"{name!r}: OpenSearch takes no name that begins with _, - or +, and keeps those with . for itself"
    if any(ord(character) < 32 or "\ud800" <= character <= "\udfff" for character in name):
        yield f"{name!r} holds a control character"
    elif (size := len(name.encode())) > _LONGEST_NAME - room:
        yield f"has {size} bytes; with the {room} behind or before it an index name would pass OpenSearch's 255"


def _data_stream(sink: OpenSearchSink, path: Path, file: PipelineFile, document: Document) -> None:
    at = (*path, "data_stream")
    times = file.event_time
    if isinstance(times, UnsetType):
        if not document.lost(("event_time",)):
            document.add(
                at, "the documents of a data stream have their time in one field: give the pipeline `event_time`"
            )
        return
    if _maps(sink.mappings, times.field):
        return
    if times.format not in ("iso8601", "epoch_s", "epoch_ms"):
        document.add(
            at,
            f"OpenSearch doesn't know the format {times.format!r} of {times.field!r}: map the field, as"
            " {type: date, format: ...}, or turn it into ISO 8601 with `parse_time`",
        )
    elif around := next((name for name in sink.mappings if times.field.startswith(f"{name}.")), None):
        document.add(
            (*path, "mappings", around),
            f"has to map {times.field!r}, the time of the data stream, as a date",
            on_key=True,
        )


def _maps(mappings: Mapping[str, Any], field: str) -> bool:
    """Whether a field is mapped, by its whole path or inside an object."""
    if field in mappings:
        return True
    return any(
        isinstance(written, dict)
        and isinstance(written.get("properties"), dict)
        and field.startswith(f"{name}.")
        and _maps(written["properties"], field.removeprefix(f"{name}."))
        for name, written in mappings.items()
    )


def _mappings(sink: OpenSearchSink, path: Path, document: Document) -> None:
    count = len(_OWN_FIELDS)
    for name, written in sink.mappings.items():
        at = (*path, "mappings", name)
        if not all(name.split(".")):
            document.add(at, "a field's name has no empty part between its dots", on_key=True)
        elif name.partition(".")[0] in _OWN_FIELDS:
            document.add(at, f"{name!r} is mapped already, as a keyword; leave it out", on_key=True)
        elif name in _METADATA_FIELDS:
            document.add(at, f"{name!r} is a field of OpenSearch's own; leave it out", on_key=True)
        count += 1 + name.count(".")
        for where, message in _wrong_mapping(written, ()):
            document.add((*at, *where), message)
        count += _fields_inside(written)
    if count > sink.field_limit and not document.lost((*path, "mappings")):
        document.add(
            (*path, "field_limit"),
            f"is {sink.field_limit}, and the mappings with {EVENT_ID} and {IDENTITY} have {count}",
        )


def _wrong_mapping(written: Any, at: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(written, str):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", written):
            yield (
                at,
                f"{written!r} is no name of a field type; write one, for example keyword, or a mapping with `type`",
            )
        return
    if not isinstance(written, dict):
        yield at, "expected the name of a field type, or a mapping with `type` or `properties`"
        return
    if "type" not in written and "properties" not in written:
        yield at, "needs `type` or `properties`; for example {type: date, format: epoch_second}"
    if "type" in written and not isinstance(written["type"], str):
        yield (*at, "type"), "expected the name of a field type, for example keyword"
    for inner in ("properties", "fields"):
        if inner in written and not isinstance(written[inner], dict):
            yield (*at, inner), "expected a mapping of names to field types"
        for name, one in written[inner].items() if isinstance(written.get(inner), dict) else ():
            yield from _wrong_mapping(one, (*at, inner, name))


def _fields_inside(written: Any) -> int:
    """OpenSearch counts objects and multi-fields as fields too."""
    if not isinstance(written, dict):
        return 0
    inner = [
        one for key in ("properties", "fields") if isinstance(written.get(key), dict) for one in written[key].values()
    ]
    return sum(1 + _fields_inside(one) for one in inner)


def _outage(sink: OpenSearchSink, path: Path, document: Document) -> None:
    if sink.on_outage == "spill" or document.lost((*path, "on_outage")):
        return
    for name in ("breaker", "drain", "spill"):
        if not isinstance(getattr(sink, name), UnsetType):
            document.add((*path, name), "belongs to `on_outage: spill`; with `block` nothing is spilled", on_key=True)


def _amounts(sink: OpenSearchSink, path: Path, document: Document) -> None:
    durations: list[tuple[Path, float | None]] = [
        (("refresh",), sink.refresh_seconds),
        (("retention",), sink.retention_seconds),
    ]
    if not isinstance(sink.rollover, UnsetType):
        durations.append((("rollover", "age"), sink.rollover.age_seconds))
        if sink.rollover.size_bytes == 0:
            document.add((*path, "rollover", "size"), "must be more than 0")
        if isinstance(sink.rollover.age, UnsetType) and isinstance(sink.rollover.size, UnsetType):
            document.add((*path, "rollover"), "needs at least one of: age, size")
    if isinstance(sink.breaker, BreakerRules):
        durations += [
            (("breaker", "window"), sink.breaker.window_seconds),
            (("breaker", "patience"), sink.breaker.patience_seconds),
            (("breaker", "probe_after"), sink.breaker.probe_after_seconds),
        ]
    for where, seconds in durations:
        if seconds is not None and not 0 < seconds < math.inf:
            document.add((*path, *where), "must be more than 0" + (" and finite" if seconds else ""))
    if not 0 < sink.bulk.most_bytes <= _MOST_BYTES:
        document.add((*path, "bulk", "bytes"), "OpenSearch takes requests of up to 100 MiB; give 1 to 104857600 bytes")
