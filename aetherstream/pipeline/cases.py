"""Config tests: cases beside a pipeline (`flights.test.yaml`), input events and what must come of them.

What runs them (decode to aggregates) is handed in, so that a case goes through the same code as a batch on Lambda.
Everything is compared: a sink that a case does not name must get nothing (unless it is optional: then no case hangs on
the environment), and without `rejected` and `dropped` nothing may be rejected or dropped. Of aggregates those are
compared that a case names.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import unified_diff
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from aetherstream.errors import UsageError
from aetherstream.pipeline import values
from aetherstream.pipeline.convert import convert
from aetherstream.pipeline.document import read
from aetherstream.pipeline.loader import Pipeline
from aetherstream.records import Event, Events, KinesisRecords, Rejection
from aetherstream.transforms.mistakes import nearest

Results = dict[str, list[dict[str, Any]]]
"""By aggregate: its results, by window and group, or by rank."""


class Made(NamedTuple):
    """What came of records."""

    events: Events
    rejections: list[Rejection]
    dropped: int
    """How many user records a filter dropped."""
    results: Mapping[str, list[dict[str, Any]]] = MappingProxyType({})


RunCore = Callable[[Pipeline, KinesisRecords], Made]
"""Decodes, validates, transforms and aggregates records."""

_NOT_DETERMINISTIC = (
    "the same input gave something else the second time: a step reads a clock, draws random numbers, or keeps something"
)
_BESIDE_SINKS = frozenset({"rejected", "dropped", "aggregates"})
"""What `expect` may have beside sinks."""
DEFAULT_ARRIVAL = "2026-01-01T00:00:00Z"


class ExpectedRejection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rejected record; what is not given is not compared."""

    stage: (
        Annotated[str, Meta(description="Stage, for example `decode`, `validate`, `transform`.", examples=["validate"])]
        | UnsetType
    ) = UNSET
    where: (
        Annotated[str, Meta(description="Part of the pipeline, or a piece of it.", examples=["transforms[2]"])]
        | UnsetType
    ) = UNSET
    reason: Annotated[str, Meta(description="A piece of the reason.", examples=["required"])] | UnsetType = UNSET
    message: Annotated[str, Meta(description="A piece of the message.", examples=["'ZZ'"])] | UnsetType = UNSET

    def agrees(self, rejection: Rejection) -> bool:
        """Whether a rejection is the expected one."""
        return all(
            isinstance(piece, UnsetType) or (piece == found if exact else piece in found)
            for piece, found, exact in (
                (self.stage, rejection.stage, True),
                (self.where, rejection.where, False),
                (self.reason, rejection.reason, False),
                (self.message, rejection.message, False),
            )
        )


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Input, and what must come of it."""

    name: Annotated[str, Meta(min_length=1, description="What it shows; unique in the file.")]
    input: Annotated[
        list[dict[str, Any]],
        Meta(
            description="Kinesis records: each an event, or its data as `{raw: text}`, `{base64: text}`,"
            " or `{json: value}` (for an array, or an event that has just one field of these names).",
            examples=[[{"carrier": "UA"}, {"raw": "not JSON"}]],
        ),
    ]
    arrival: Annotated[
        str,
        Meta(
            pattern=values.INSTANT,
            title="a date or timestamp",
            description="When the records arrived in the stream.",
            examples=[DEFAULT_ARRIVAL],
        ),
    ] = DEFAULT_ARRIVAL
    partial: Annotated[
        bool, Meta(description="Compare only the fields that the expected events have, instead of whole events.")
    ] = False
    expect: Annotated[
        dict[str, Any],
        Meta(
            description="By sink the list of its events; beside them `rejected`, a list of mappings with `stage`,"
            " `where`, `reason` and `message`, `dropped`, a number, and `aggregates`, by name the list of their results"
            " after the last window is closed.",
            examples=[{"archive": [{"carrier": "UA"}], "rejected": [{"reason": "required"}], "dropped": 1}],
        ),
    ]


class CasesFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tests of one pipeline."""

    env: Annotated[
        dict[str, str], Meta(description="Environment variables for `${NAME}` in the pipeline file, and for keys.")
    ] = {}
    cases: Annotated[list[Case], Meta(min_length=1, description="The cases.")]


class Result(NamedTuple):
    """What became of one case."""

    case: str
    differences: list[str]
    """Lines to print; none when the case passed."""


def cases_path(pipeline: Path) -> Path:
    """Return where the tests of a pipeline file stand: `flights.test.yaml` for `flights.yaml`."""
    return pipeline.with_name(f"{pipeline.stem}.test{pipeline.suffix}")


def load_cases(path: Path) -> CasesFile:
    """Load a file of cases.

    Raises:
        PipelineMistakes: everything that is wrong in it.
        ConfigurationError: it can't be read.
    """
    document = read(path, None)
    file = convert(document, CasesFile)
    names: dict[str, int] = {}
    for index, case in enumerate(file.cases if file else ()):
        at = ("cases", index)
        if names.setdefault(case.name, index) != index:
            document.add((*at, "name"), f"another case is called {case.name!r} too")
        try:
            values.instant(case.arrival)
        except ValueError as error:
            document.add((*at, "arrival"), str(error))
        for number, item in enumerate(case.input):
            try:
                _data(item)
            except ValueError as error:
                document.add((*at, "input", number), str(error))
        for key, message in _wrong_expectations(case.expect):
            document.add((*at, "expect", *key), message)
    document.raise_mistakes()
    if file is None:  # pragma: no cover - convert has noted why
        raise UsageError(f"{path}: holds no cases")
    return file


def check_sinks(path: Path, file: CasesFile, pipeline: Pipeline) -> None:
    """Raise `PipelineMistakes` where a case expects something of a sink or aggregate that the pipeline doesn't have."""
    document = read(path, None)
    for index, case in enumerate(file.cases):
        at = ("cases", index, "expect")
        for name in case.expect.keys() - _BESIDE_SINKS - pipeline.sinks.keys():
            hint = nearest(name, [*pipeline.sinks, *sorted(_BESIDE_SINKS)])
            document.add((*at, name), f"the pipeline has no sink {name!r}{hint}", on_key=True)
        for name in case.expect.get("aggregates", {}).keys() - pipeline.aggregates.keys():
            hint = nearest(name, pipeline.aggregates)
            document.add((*at, "aggregates", name), f"the pipeline has no aggregate {name!r}{hint}", on_key=True)
    document.raise_mistakes()


def run_cases(pipeline: Pipeline, cases: Sequence[Case], run_core: RunCore) -> Iterator[Result]:
    """Run cases one after the other, each twice: delivery rests on steps that do the same again."""
    for case in cases:
        first = run_core(pipeline, _records(case))
        differences = list(_differences(case, pipeline, first))
        before, after = _compared(first), _compared(run_core(pipeline, _records(case)))
        if before != after:
            differences += [_NOT_DETERMINISTIC, *unified_diff(before, after, "first", "second", "", "", 2, "")]
        yield Result(case.name, differences)


def _compared(made: Made) -> list[str]:
    return _lines((made.events.values, made.rejections, made.dropped, dict(made.results)))


def _records(case: Case) -> KinesisRecords:
    count = len(case.input)
    return KinesisRecords(
        stream="arn:aws:kinesis:us-east-1:000000000000:stream/test",
        shard="shardId-000000000000",
        sequences=[str(49600000000000000000000000000000000000000000000000000000 + index) for index in range(count)],
        arrivals=[values.instant(case.arrival)] * count,
        keys=["test"] * count,
        data=[base64.b64encode(_data(item)).decode() for item in case.input],
    )


def _data(item: Mapping[str, Any]) -> bytes:
    match dict(item):
        case {"raw": str(text), **rest} if not rest:
            return text.encode()
        case {"base64": str(text), **rest} if not rest:
            try:
                return base64.b64decode(text, validate=True)
            except binascii.Error as error:
                raise ValueError(f"is not base64: {error}") from None
        case {"json": value, **rest} if not rest:
            return json.dumps(value).encode()
        case event:
            return json.dumps(event).encode()


def _wrong_expectations(expect: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key, value in expect.items():
        if key == "dropped":
            if not isinstance(value, int) or isinstance(value, bool):
                yield (key,), "expected a whole number"
        elif key == "aggregates":
            if not isinstance(value, dict):
                yield (key,), "expected a mapping of aggregates to lists of their results"
                continue
            for name, results in value.items():
                if not isinstance(results, list):
                    yield (key, name), "expected a list"
                    continue
                for index, item in enumerate(results):
                    if not isinstance(item, dict):
                        yield (key, name, index), "expected a mapping"
        elif not isinstance(value, list):
            yield (key,), "expected a list"
        else:
            for index, item in enumerate(value):
                if not isinstance(item, dict):
                    yield (key, index), "expected a mapping"
                elif key == "rejected":
                    for name in item.keys() - set(ExpectedRejection.__struct_fields__):
                        yield (key, index, name), f"unknown key{nearest(name, ExpectedRejection.__struct_fields__)}"
                    for name in item.keys() & set(ExpectedRejection.__struct_fields__):
                        if not isinstance(item[name], str):
                            yield (key, index, name), "expected text"


def _differences(case: Case, pipeline: Pipeline, made: Made) -> Iterator[str]:
    events = made.events
    for sink, declared in pipeline.sinks.items():
        if declared.is_optional and sink not in case.expect:
            continue
        got = [
            value for index, value in enumerate(events.values) if events.routes is None or sink in events.routes[index]
        ]
        yield from _event_differences(sink, case.expect.get(sink, []), got, partial=case.partial)
    for name, results in case.expect.get("aggregates", {}).items():
        yield from _event_differences(f"aggregates.{name}", results, made.results.get(name, []), partial=case.partial)
    yield from _rejection_differences(case.expect.get("rejected", []), made.rejections)
    if (expected := case.expect.get("dropped", 0)) != made.dropped:
        yield f"dropped: expected {expected}, got {made.dropped}"


def _event_differences(sink: str, expected: list[Event], got: list[Event], *, partial: bool) -> Iterator[str]:
    for index in range(max(len(expected), len(got))):
        if index >= len(got):
            yield f"{sink}[{index}]: expected, and did not come:"
            yield from (f"-{line}" for line in _lines(expected[index]))
        elif index >= len(expected):
            yield f"{sink}[{index}]: came, and was not expected:"
            yield from (f"+{line}" for line in _lines(got[index]))
        else:
            seen = _only(got[index], expected[index]) if partial else got[index]
            before, after = _lines(expected[index]), _lines(seen)
            if before != after:
                diff = unified_diff(before, after, "expected", "got", lineterm="", n=2)
                yield f"{sink}[{index}]:"
                yield from diff


def _rejection_differences(expected: list[dict[str, str]], got: list[Rejection]) -> Iterator[str]:
    ordered = sorted(got, key=lambda rejection: (rejection.record, rejection.sub or 0))
    for index in range(max(len(expected), len(ordered))):
        wanted = expected[index] if index < len(expected) else None
        found = ordered[index] if index < len(ordered) else None
        if wanted is not None and found is not None and ExpectedRejection(**wanted).agrees(found):
            continue
        yield f"rejected[{index}]:"
        if wanted is not None:
            yield from (f"- {key}: {value}" for key, value in wanted.items())
        if found is not None:
            yield f"+ input[{found.record}]"
            yield from (f"+ {key}: {getattr(found, key)}" for key in ("stage", "where", "reason", "message"))


def _lines(value: Any) -> list[str]:
    """JSON with sorted keys: what is compared is what would be written, so 1 is not 1.0 and not true."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=repr).splitlines()


def _only(got: Any, wanted: Any) -> Any:
    if isinstance(got, dict) and isinstance(wanted, dict):
        return {key: _only(value, wanted[key]) for key, value in got.items() if key in wanted}
    return got
