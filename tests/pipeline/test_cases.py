import base64
from pathlib import Path

import pytest

from aetherstream.pipeline import Pipeline, PipelineMistakes
from aetherstream.pipeline.cases import Case, Made, cases_path, check_sinks, load_cases, run_cases
from aetherstream.records import Events, KinesisRecords, Rejection
from tests.pipeline.writing import SINKS, loaded, write

HEAD = "cases:\n  - name: one\n"


def case(**fields: object) -> Case:
    return Case(**{"name": "c", "input": [{"a": 1}], "expect": {}, **fields})  # type: ignore[arg-type]


def differences(
    pipeline: Pipeline, of: Case, events: Events, rejections: tuple[Rejection, ...] = (), dropped: int = 0
) -> list[str]:
    ((_, lines),) = run_cases(pipeline, [of], lambda _, __: Made(events, list(rejections), dropped))
    return lines


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return loaded(tmp_path, f"pipeline: p\n{SINKS}  other:\n    s3: {{bucket: data-bucket}}\n")


def events(*values: dict[str, object]) -> Events:
    count = len(values)
    return Events(list(values), list(range(count)), [0] * count, routes=[frozenset({"archive"})] * count)


REJECTION = Rejection(0, 0, "validate", "validate", "required property 'a'", "required property 'a' of {'b': 1}")


def test_the_tests_stand_beside_the_pipeline() -> None:
    assert cases_path(Path("pipelines/flights.yaml")) == Path("pipelines/flights.test.yaml")


def test_input_is_an_event_or_text_or_bytes_or_any_json(pipeline: Pipeline) -> None:
    seen: list[KinesisRecords] = []

    def core(_: Pipeline, records: KinesisRecords) -> Made:
        seen.append(records)
        return Made(events(), [], 0)

    text = base64.b64encode(b"\x1f\x8b").decode()
    inputs = [{"raw": "x", "y": 1}, {"raw": "{"}, {"base64": text}, {"json": [1]}, {"json": {"raw": "x"}}]
    assert [r.differences for r in run_cases(pipeline, [case(input=inputs, arrival="2013-01-01")], core)] == [[]]
    records, again = seen
    assert records == again
    payloads = [base64.b64decode(data) for data in records.data]
    assert payloads == [b'{"raw": "x", "y": 1}', b"{", b"\x1f\x8b", b"[1]", b'{"raw": "x"}']
    assert records.arrivals == [1356998400.0] * 5
    assert len(set(records.sequences)) == 5


def test_what_comes_as_expected_passes(pipeline: Pipeline) -> None:
    wanted = {"archive": [{"a": 1, "b": [1.5, None]}], "rejected": [{"reason": "required"}], "dropped": 2}
    assert differences(pipeline, case(expect=wanted), events({"b": [1.5, None], "a": 1}), (REJECTION,), 2) == []


def test_a_difference_is_shown_as_a_diff_of_the_event(pipeline: Pipeline) -> None:
    assert differences(pipeline, case(expect={"archive": [{"a": 1, "b": "x"}]}), events({"a": 1, "b": "y"})) == [
        "archive[0]:",
        "--- expected",
        "+++ got",
        "@@ -1,4 +1,4 @@",
        " {",
        '   "a": 1,',
        '-  "b": "x"',
        '+  "b": "y"',
        " }",
    ]


@pytest.mark.parametrize("got", [1.0, True, "1", None])
def test_values_that_python_takes_for_equal_differ(pipeline: Pipeline, got: object) -> None:
    assert differences(pipeline, case(expect={"archive": [{"a": 1}]}), events({"a": got}))[0] == "archive[0]:"


def test_an_event_that_does_not_come_and_one_too_many_are_shown(pipeline: Pipeline) -> None:
    assert differences(pipeline, case(expect={"archive": [{"a": 1}], "other": []}), events()) == [
        "archive[0]: expected, and did not come:",
        "-{",
        '-  "a": 1',
        "-}",
    ]
    assert differences(pipeline, case(), events({"a": 1})) == [
        "archive[0]: came, and was not expected:",
        "+{",
        '+  "a": 1',
        "+}",
    ]


def test_an_event_without_a_route_goes_to_every_sink(pipeline: Pipeline) -> None:
    everywhere = Events([{"a": 1}], [0], [0])
    assert differences(pipeline, case(expect={"archive": [{"a": 1}], "other": [{"a": 1}]}), everywhere) == []
    assert differences(pipeline, case(expect={"archive": [{"a": 1}]}), everywhere)[0] == (
        "other[0]: came, and was not expected:"
    )


@pytest.mark.parametrize("endpoint", ["", "https://host"])
def test_an_optional_sink_is_compared_where_a_case_names_it(tmp_path: Path, endpoint: str) -> None:
    optional = f"  search:\n    opensearch: {{endpoint: '{endpoint}', optional: true, index: a}}\n"
    made = loaded(tmp_path, f"pipeline: p\n{SINKS}{optional}")
    sent = events({"a": 1})
    sent.routes = None
    assert differences(made, case(expect={"archive": [{"a": 1}]}), sent) == []
    assert differences(made, case(expect={"archive": [{"a": 1}], "search": [{"a": 1}]}), sent) == []
    assert differences(made, case(expect={"archive": [{"a": 1}], "search": [{"a": 2}]}), sent)[0] == "search[0]:"


def test_partial_compares_only_the_fields_that_are_expected(pipeline: Pipeline) -> None:
    got = events({"a": 1, "b": 2, "c": {"d": 1, "e": 2}})
    assert differences(pipeline, case(partial=True, expect={"archive": [{"a": 1, "c": {"d": 1}}]}), got) == []
    assert differences(pipeline, case(partial=True, expect={"archive": [{"a": 2}]}), got)[-2:] == ['+  "a": 1', " }"]
    assert differences(pipeline, case(partial=True, expect={"archive": [{"z": 1}]}), got) != []


def test_a_rejection_that_differs_shows_what_came(pipeline: Pipeline) -> None:
    assert differences(pipeline, case(expect={"rejected": [{"stage": "decode"}]}), events(), (REJECTION,)) == [
        "rejected[0]:",
        "- stage: decode",
        "+ input[0]",
        "+ stage: validate",
        "+ where: validate",
        "+ reason: required property 'a'",
        "+ message: required property 'a' of {'b': 1}",
    ]


def test_a_rejection_or_a_drop_that_nobody_expects_fails(pipeline: Pipeline) -> None:
    assert differences(pipeline, case(), events(), (REJECTION,))[0] == "rejected[0]:"
    assert differences(pipeline, case(), events(), (), 1) == ["dropped: expected 0, got 1"]


def test_a_case_whose_second_run_gives_something_else_fails(pipeline: Pipeline) -> None:
    numbers = iter([1, 2])
    ((_, lines),) = run_cases(
        pipeline, [case(expect={"archive": [{"a": 1}]})], lambda _, __: Made(events({"a": next(numbers)}), [], 0)
    )
    assert lines[0].startswith("the same input gave something else the second time: ")
    assert [line for line in lines[3:] if line[0] in "+-"] == ['-      "a": 1', '+      "a": 2']


def said(folder: Path, text: str) -> list[str]:
    with pytest.raises(PipelineMistakes) as raised:
        load_cases(write(folder, text, "p.test.yaml"))
    return [f"{m.line}:{m.column} {m.path}: {m.message}" for m in raised.value.mistakes]


def test_unknown_keys_are_named_with_the_nearest(tmp_path: Path) -> None:
    text = HEAD + "    inputs: []\n    input: []\n    expect: {rejected: [{reson: x}]}\n"
    assert said(tmp_path, text) == ["3:5 cases[0].inputs: unknown key (did you mean 'input'?)"]
    text = HEAD + "    input: []\n    expect: {rejected: [{reson: x}], dropped: many, archive: {}}\n"
    assert said(tmp_path, text) == [
        "4:33 cases[0].expect.rejected[0].reson: unknown key (did you mean 'reason'?)",
        "4:47 cases[0].expect.dropped: expected a whole number",
        "4:53 cases[0].expect.archive: expected a list",
    ]


def test_input_that_is_no_base64_is_a_mistake(tmp_path: Path) -> None:
    text = HEAD + "    input: [{base64: '='}]\n    expect: {}\n"
    (message,) = said(tmp_path, text)
    assert message.startswith("3:13 cases[0].input[0]: is not base64: ")


def test_two_cases_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    text = "cases:\n" + 2 * "  - {name: one, input: [], expect: {}}\n"
    assert said(tmp_path, text) == ["3:12 cases[1].name: another case is called 'one' too"]


def test_dollars_in_events_are_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "    input: [{a: '${HOME}'}]\n    expect: {}\n")
    assert load_cases(path).cases[0].input == [{"a": "${HOME}"}]


def test_a_sink_that_the_pipeline_lacks_is_a_mistake(tmp_path: Path, pipeline: Pipeline) -> None:
    path = write(tmp_path, HEAD + "    input: []\n    expect: {archiv: []}\n", "p.test.yaml")
    with pytest.raises(PipelineMistakes, match="the pipeline has no sink 'archiv'"):
        check_sinks(path, load_cases(path), pipeline)
