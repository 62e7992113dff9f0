"""An aggregate in words, and what is doubtful about one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import UnsetType

from aetherstream.pipeline.declarations import expressions_of
from aetherstream.pipeline.model import EventTime
from aetherstream.pipeline.model_aggregates import DeclaredAggregate, DeclaredWindow
from aetherstream.pipeline.model_results import DeclaredOutput, ResultPlace
from aetherstream.pipeline.model_sinks import Sink
from aetherstream.transforms.expressions import ExpressionError, compile_expression

_WIDTH = 100
_LATE = {
    "drop": "counted and left out",
    "quarantine": "counted and quarantined",
    "correct": "folded, and the results go out again",
}


def in_words(written: DeclaredAggregate, sinks: Mapping[str, Sink]) -> Iterator[str]:
    """Yield what an aggregate does."""
    if written.description:
        yield written.description
    groups = [
        part.expression if part.name == part.expression else f"{part.name} = {part.expression}"
        for part in written.group
    ]
    yield f"{_window(written.window)}, by {', '.join(groups)}" if groups else f"{_window(written.window)}, all together"
    yield from _outputs(written.full_outputs)
    if written.state == "lambda":
        yield "kept by Lambda in windows of arrival; results of each shard go out when its window ends"
    else:
        yield f"closed {_after(written)}; an event that is late then is {_LATE[written.on_late]}"
        yield f"results: {_emitted(written)}"
    yield f"quarantined: events {' or '.join(_refused(written))}"
    for name, place in written.to.items():
        yield f"to {name}: {_place(place, sinks[name])}{_chosen(place)}"
    if not written.to:
        yield "to no sink"


def warnings(
    name: str, written: DeclaredAggregate, sinks: Mapping[str, Sink], times: EventTime | UnsetType
) -> Iterator[str]:
    """Yield what is allowed of an aggregate and probably not meant."""
    if isinstance(times, UnsetType) and written.state == "dynamodb":
        yield f"aggregates.{name} has windows of arrival time: the pipeline has no event_time"
    if written.emit == "updates" and written.to and written.state == "dynamodb":
        archives = [sink for sink in written.to if not isinstance(sinks[sink].s3, UnsetType)]
        if len(archives) == len(written.to) and not all(sinks[sink].is_off for sink in archives):
            yield f"aggregates.{name} has `emit: updates`, and all its results go to S3, which gets them at close only"


def fields_used(name: str, written: DeclaredAggregate) -> Iterator[tuple[str, str]]:
    """Yield what reads which field of an event."""
    for index, part in enumerate(written.group):
        if not isinstance(part.field, UnsetType):
            yield f"aggregates.{name}.group_by[{index}]", part.field
    for path, text in expressions_of(written):
        try:
            fields = compile_expression(text).fields
        except ExpressionError:
            continue
        where = f"group_by[{path[1]}]" if path[0] == "group_by" else f"{path[0]}.{path[1]}"
        for field in sorted(fields):
            yield f"aggregates.{name}.{where}", field


def _window(window: DeclaredWindow) -> str:
    length = _duration(window.seconds)
    if window.kind == "session":
        return f"sessions that end after {length} without events"
    shifted = f", shifted by {_duration(window.offset_seconds)}" if window.offset_seconds else ""
    if window.kind == "hopping":
        return f"windows of {length} every {_duration(window.every_seconds or 0)}{shifted}"
    return f"windows of {length}{shifted}"


def _outputs(outputs: Mapping[str, DeclaredOutput]) -> Iterator[str]:
    line = ""
    for index, (name, output) in enumerate(outputs.items()):
        text = f"{name} = {_output(output)}{';' if index < len(outputs) - 1 else ''}"
        if line and len(line) + len(text) >= _WIDTH:
            yield line
            line = ""
        line = f"{line} {text}" if line else text
    yield line


def _output(output: DeclaredOutput) -> str:
    given = dict(output.given)
    kind = given.pop("class") if output.kind == "custom" else output.kind
    options = "".join(f", {name} {_value(value)}" for name, value in given.items())
    rejects = ", unusable values are rejected" if output.unusable == "reject" else ""
    return f"{kind}({output.expression or ''}{options if output.expression else options[2:]}){rejects}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {one}" for name, one in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _after(written: DeclaredAggregate) -> str:
    late = f" by {_duration(written.lateness_seconds)}" if written.lateness_seconds else ""
    return f"when the watermark has passed the end{late}"


def _emitted(written: DeclaredAggregate) -> str:
    if not isinstance(written.rank, UnsetType):
        order = "least" if written.rank.ascending else "greatest"
        return f"at close, the {written.rank.most} groups with the {order} {written.rank.by}"
    return "at close" if written.emit == "close" else "seconds after each change, and at close"


def _refused(written: DeclaredAggregate) -> Iterator[str]:
    if written.state == "dynamodb":
        yield f"more than {_duration(written.max_ahead_seconds)} ahead of their arrival"
    yield f"of groups beyond {written.max_groups:,} in a window and shard"
    rejecting = [name for name, output in written.full_outputs.items() if output.unusable == "reject"]
    if rejecting:
        yield f"with a value that {', '.join(rejecting)} can't use"


def _place(place: ResultPlace, sink: Sink) -> str:
    off = "switched off; with an endpoint: " if sink.is_off else ""
    if not isinstance(sink.opensearch, UnsetType):
        return f"{off}index {place.index}, a document a result"
    if not isinstance(sink.redshift, UnsetType):
        return f"{off}table {place.table}, a row a result, staged below s3://{sink.redshift.bucket}/{place.prefix}/"
    bucket = "" if isinstance(sink.s3, UnsetType) else sink.s3.bucket
    return f"s3://{bucket}/{place.prefix}/, final results only"


def _chosen(place: ResultPlace) -> str:
    return "" if isinstance(place.fields, UnsetType) else f"; only {', '.join(place.fields)}"


def _duration(seconds: float) -> str:
    if seconds < 0:
        return f"-{_duration(-seconds)}"
    for unit, factor in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % factor == 0:
            return f"{seconds / factor:g}{unit}"
    return f"{seconds:g}s"
