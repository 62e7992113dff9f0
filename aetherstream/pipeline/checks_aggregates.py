"""What a schema can't say of an aggregate: its group, window, outputs and ranking, and which state they can be kept in.

Where its results go is `checks_results`' part.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from msgspec import UnsetType

from aetherstream.aggregates.windows import Hopping, Session, Tumbling, Windows
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline.document import Document
from aetherstream.pipeline.mistakes import Path
from aetherstream.pipeline.model import PipelineFile
from aetherstream.pipeline.model_aggregates import WINDOW_KINDS, DeclaredAggregate, DeclaredWindow, GroupPart
from aetherstream.pipeline.model_results import RESULT_NAME, DeclaredOutput, Kind
from aetherstream.pipeline.model_sinks import Sink
from aetherstream.transforms.mistakes import nearest
from aetherstream.transforms.paths import parse_path

LONGEST_MANAGED = 900
"""AWS: most seconds of `TumblingWindowInSeconds`."""
_WITHOUT_VALUE: frozenset[Kind] = frozenset({"count", "rate"})
"""Kinds that count events where they are given no value."""
_NO_NUMBER: frozenset[Kind] = frozenset({"quantiles", "top_k"})
"""Kinds whose result is no single value, so that nothing can be ranked by it."""
_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "population": ("variance", "stddev"),
    "per": ("rate",),
    "precision": ("distinct",),
    "exact": ("distinct",),
    "at": ("quantiles",),
    "accuracy": ("quantiles",),
    "max_bins": ("quantiles",),
    "k": ("top_k",),
    "capacity": ("top_k",),
    "class": ("custom",),
    "options": ("custom",),
}
"""Option of an output → the kinds that take it."""


def windows_of(window: DeclaredWindow) -> Windows:
    """Return the windows that are declared. Raises ConfigurationError where there can't be such."""
    seconds, offset = round(window.seconds), round(window.offset_seconds)
    if window.kind == "session":
        return Session(seconds)
    if window.kind == "hopping":
        return Hopping(seconds, round(window.every_seconds or 0), offset)
    return Tumbling(seconds, offset)


def check_aggregates(file: PipelineFile, sinks: Mapping[str, Sink], document: Document) -> None:
    """Note what is wrong with the aggregates of a file; `sinks` with their defaults."""
    for name, written in file.aggregates.items():
        path = ("aggregates", name)
        _names(written, path, document)
        for at, output in written.full_outputs.items():
            _output(output, (*path, "outputs", at), document)
        _window(written.window, (*path, "window"), document)
        _amounts(written, path, document)
        _rank(written, path, document)
    _managed(file, document)
    _delivery(file, sinks, document)


def _names(written: DeclaredAggregate, path: Path, document: Document) -> None:
    """Every field of a result has a name of its own; Redshift and many readers of S3 don't tell cases apart."""
    seen = dict.fromkeys(written.reserved, "a field that every result has")
    for index, part in enumerate(written.group):
        at = (*path, "group_by", index)
        if wrong := _wrong_part(part):
            document.add(at, wrong)
            continue
        if (other := seen.setdefault(part.name.lower(), f"group_by[{index}]")) != f"group_by[{index}]":
            document.add(at, f"{part.name!r} is the name of {other}; give it another one with `as:`")
    for name in written.outputs:
        if (other := seen.setdefault(name.lower(), f"outputs.{name}")) != f"outputs.{name}":
            document.add((*path, "outputs", name), f"{name!r} is the name of {other}; give it another one", on_key=True)


def _wrong_part(part: GroupPart) -> str:
    if isinstance(part.field, UnsetType) == isinstance(part.expr, UnsetType):
        return "needs exactly one of: field, expr"
    if not isinstance(part.field, UnsetType):
        try:
            parse_path(part.field)
        except ValueError as error:
            return str(error)
    elif isinstance(part.as_, UnsetType):
        return "an expression has no name of its own; give it one with `as:`"
    if not re.match(RESULT_NAME, part.name):
        return f"{part.name!r} can't be the name of a field of results; give one of letters, digits and _ with `as:`"
    return ""


def _output(output: DeclaredOutput, path: Path, document: Document) -> None:
    if document.lost((*path, "kind")):
        return
    kind = output.kind
    for option in output.given:
        if kind not in _KINDS[option]:
            whose = " and ".join(f"`kind: {one}`" for one in _KINDS[option])
            document.add((*path, option), f"belongs to {whose}; {kind} does not take it", on_key=True)
    if output.expression is None and not document.lost((*path, "of")):
        if kind not in _WITHOUT_VALUE:
            document.add(path, f"{kind} needs `of`: a field, or an expression over the event", on_key=True)
        elif output.unusable == "reject":
            document.add(
                (*path, "unusable"), f"belongs to `of`: without a value, {kind} takes every event", on_key=True
            )
    if kind == "custom" and "class" not in output.given and not document.lost((*path, "class")):
        document.add(path, "custom needs `class`: module:Class, an accumulator of your own", on_key=True)
    if not isinstance(output.per, UnsetType) and not 0 < (output.per_seconds or 0) < math.inf:
        document.add((*path, "per"), "must be more than 0")
    if not isinstance(output.at, UnsetType) and len(set(output.at)) < len(output.at):
        document.add((*path, "at"), "names a quantile twice")


def _window(window: DeclaredWindow, path: Path, document: Document) -> None:
    kinds = window.kinds
    if document.lost(path) and not kinds:
        return
    if not kinds:
        document.add(path, f"needs exactly one of: {', '.join(WINDOW_KINDS)}", on_key=True)
        return
    if len(kinds) > 1:
        document.add((*path, kinds[1]), f"only one of {', '.join(kinds)} may stand here", on_key=True)
        return
    kind, every = kinds[0], window.every_seconds
    if kind == "hopping" and every is None and not document.lost((*path, "every")):
        document.add((*path, kind), "needs `every`: how often a window begins")
    if kind != "hopping" and every is not None:
        document.add((*path, "every"), "belongs to `hopping`", on_key=True)
    if kind == "session" and window.offset_seconds:
        document.add(
            (*path, "offset"), "belongs to `tumbling` and `hopping`; a session begins with its events", on_key=True
        )
    lengths = [(kind, window.seconds), ("every", every), ("offset", window.offset_seconds)]
    uneven = [name for name, seconds in lengths if seconds is not None and not float(seconds).is_integer()]
    for name in uneven:
        document.add((*path, name), "must be whole seconds")
    if uneven or (kind == "hopping" and every is None):
        return
    try:
        windows_of(window)
    except ConfigurationError as error:
        document.add((*path, kind), str(error))


def _amounts(written: DeclaredAggregate, path: Path, document: Document) -> None:
    for name, seconds in (("lateness", written.lateness_seconds), ("max_ahead", written.max_ahead_seconds)):
        if not seconds < math.inf:
            document.add((*path, name), "must be finite")


def _rank(written: DeclaredAggregate, path: Path, document: Document) -> None:
    rank = written.rank
    if isinstance(rank, UnsetType):
        return
    at = (*path, "rank")
    if written.emit != "close" and not document.lost((*path, "emit")):
        document.add(at, "needs `emit: close`: who is first is known when a window is closed", on_key=True)
    if written.window.kinds == ["session"]:
        document.add(at, "sessions have no window in common in which their groups could be ranked", on_key=True)
    if not written.group_by and not document.lost((*path, "group_by")):
        document.add(at, "without `group_by` there is one group, and nothing to rank", on_key=True)
    outputs = written.full_outputs
    if rank.by not in outputs:
        if not document.lost((*path, "outputs")):
            document.add((*at, "by"), f"there is no output {rank.by!r}{nearest(rank.by, outputs)}")
    elif outputs[rank.by].kind in _NO_NUMBER and not document.lost((*path, "outputs", rank.by)):
        document.add((*at, "by"), f"{rank.by} is {outputs[rank.by].kind}, no number to rank by")


def _managed(file: PipelineFile, document: Document) -> None:
    """`state: lambda`: what the event source mapping's windows can't do."""
    first: tuple[str, float] | None = None
    for name, written in file.aggregates.items():
        if written.state != "lambda" or document.lost(("aggregates", name, "state")):
            continue
        path = ("aggregates", name)
        for where, message in _beyond_lambda(written):
            document.add((*path, *where), f"{message} with `state: lambda`")
        if written.window.kinds != ["tumbling"]:
            continue
        seconds = written.window.seconds
        first = first or (name, seconds)
        if seconds != first[1]:
            document.add(
                (*path, "window", "tumbling"),
                f"differs from that of aggregates.{first[0]}: the event source mapping has one length of windows for"
                " all with `state: lambda`",
            )


def _beyond_lambda(written: DeclaredAggregate) -> Iterator[tuple[Path, str]]:
    window = written.window
    if window.kinds != ["tumbling"]:
        yield ("window",), "only tumbling windows can be had"
    elif not 1 <= window.seconds <= LONGEST_MANAGED:
        yield ("window", "tumbling"), f"can be 1 second to {LONGEST_MANAGED // 60} minutes"
    if window.offset_seconds:
        yield ("window", "offset"), "there is no `offset`"
    if written.lateness_seconds:
        yield ("lateness",), "windows follow the arrival, so nothing is late: there is no `lateness`"
    if written.on_late != "drop":
        yield ("on_late",), "windows follow the arrival, so nothing is late: there is no `on_late`"
    if not isinstance(written.rank, UnsetType):
        yield ("rank",), "each shard has results of its own: there is no `rank`"


def _delivery(file: PipelineFile, sinks: Mapping[str, Sink], document: Document) -> None:
    names = [
        name
        for name, written in file.aggregates.items()
        if written.state == "dynamodb" and not document.lost(("aggregates", name, "state"))
    ]
    if not names:
        return
    who = f"aggregates.{names[0]}"
    if file.delivery != "exactly_once" and not document.lost(("delivery",)):
        document.add(
            ("delivery",),
            f"{who} needs `exactly_once`: its commits stand in the progress that `at_least_once` does without",
        )
    held = any(sink.objects is not None and not sink.is_optional for sink in sinks.values())
    if not held and not document.lost(("sinks",)):
        document.add(
            ("aggregates", names[0]),
            "needs an `s3` or `redshift` sink that is not optional: its objects tell a redrive what was folded",
            on_key=True,
        )
