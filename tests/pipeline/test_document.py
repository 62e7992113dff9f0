from pathlib import Path

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.pipeline.document import Document, read


def said(text: str, env: dict[str, str] | None = None) -> list[str]:
    document = Document(text, "p.yaml", {} if env is None else env)
    return [str(document.located(mistake)) for mistake in document.mistakes]


def value(text: str, env: dict[str, str] | None = None) -> object:
    document = Document(text, "p.yaml", env)
    assert document.mistakes == []
    return document.value


def test_scalars_are_read_as_yaml_1_2_has_them() -> None:
    text = "[on, no, Yes, 2013-01-01, 12:30:00, 010, 0x10, 1_000, 1e3, .5, ~, null, true, '1', 1.0, -7]"
    assert value(text) == [
        *("on", "no", "Yes", "2013-01-01", "12:30:00", 10, 16, "1_000", 1000.0, 0.5),
        *(None, None, True, "1", 1.0, -7),
    ]


def test_a_key_that_yaml_1_1_takes_for_a_boolean_stays_text() -> None:
    assert value("on: carrier") == {"on": "carrier"}


def test_anchors_and_aliases_are_read() -> None:
    assert value("a: &x [1]\nb: *x") == {"a": [1], "b": [1]}


def test_variables_are_filled_in() -> None:
    env = {"NAME": "x", "EMPTY": ""}
    text = "- a-${NAME}\n- ${EMPTY:-d}\n- ${NONE:-a:-b}\n- $${NAME}\n- '${EMPTY}'\n- '${NONE:-}'"
    assert value(text, env) == ["a-x", "d", "a:-b", "${NAME}", "", ""]


def test_an_unquoted_variable_can_be_a_number_and_a_quoted_one_stays_text() -> None:
    assert value("- ${N}\n- '${N}'\n- ${B:-true}", {"N": "12"}) == [12, "12", True]


def test_without_an_environment_dollars_are_left_alone() -> None:
    assert value("a: ${NAME}") == {"a": "${NAME}"}


def test_a_missing_variable_names_both_ways_out() -> None:
    assert said("a:\n  b: ${BUCKET}") == [
        "p.yaml:2:6  a.b  the environment has no BUCKET; set it, or give a default: ${BUCKET:-...}"
    ]


@pytest.mark.parametrize("bad", ["${}", "${a b}", "${NAME", "${-x}"])
def test_a_malformed_variable_is_a_mistake(bad: str) -> None:
    (mistake,) = said(f"a: '{bad}'")
    assert mistake.startswith(f"p.yaml:1:4  a  {bad!r} is neither ${{NAME}} nor ${{NAME:-default}}")


def test_duplicate_keys_name_the_line_of_the_first() -> None:
    assert said("a: 1\nb: 2\na: 3") == ["p.yaml:3:1  a  duplicate key; it stands in line 1 already"]


def test_merge_keys_are_refused() -> None:
    assert said("x: &x {a: 1}\ny:\n  <<: *x") == [
        "p.yaml:3:3  y  merge keys (<<) are not read here; write the fields out"
    ]


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    assert said("a: &x\n  b: *x") == ["p.yaml:1:4  a.b  an alias that stands inside its own anchor"]


@pytest.mark.parametrize(
    "text",
    ["a: !!python/name:os.system x", "a: !Ref Bucket", "a: !env [X]", "a: !env {x: 1}", "a: !!int x", "a: !!str 1"],
)
def test_tags_are_refused(text: str) -> None:
    (mistake,) = said(text)
    assert "tags such as" in mistake


def test_a_tab_is_explained() -> None:
    assert said("a:\n\tb: 1") == [
        (
            "p.yaml:2:1  not YAML: found character that cannot start any token; YAML indents with spaces, not tabs, "
            "and a value that begins with @, ` or % must be quoted"
        )
    ]


def test_an_open_bracket_is_placed_and_explained() -> None:
    (mistake,) = said("a: [1, 2\nb: 3\n")
    assert mistake == (
        "p.yaml:2:2  not YAML: did not find expected ',' or ']'; is the indentation right, and is every [, {, and quote"
        " closed?"
    )


def test_an_unquoted_variable_in_braces_is_explained() -> None:
    assert said("s3: {bucket: ${BUCKET}, prefix: x}") == [
        (
            "p.yaml:1:15  not YAML: did not find expected ',' or '}'; inside [...] and {...} a value with ${...} must "
            "be quoted"
        )
    ]


def test_an_undefined_alias_is_explained() -> None:
    assert said("a: *carrier") == [
        "p.yaml:1:4  not YAML: found undefined alias; a value that begins with * must be quoted"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "description: key AKIAIOSFODNN7EXAMPLE",
        "sinks: {a: {password: hunter2}}",
        "source: {secret_access_key: abc}",
        "description: |\n  -----BEGIN RSA PRIVATE KEY-----\n  MII",
    ],
)
def test_a_secret_in_the_file_is_refused_with_the_way_out(text: str) -> None:
    (mistake,) = said(text)
    assert mistake.endswith("is a secret in the file; write ${NAME} and set NAME in the function's environment")


def test_a_secret_from_the_environment_is_no_mistake() -> None:
    assert value("sinks: {a: {password: '${PASSWORD}'}}", {"PASSWORD": "x"}) == {"sinks": {"a": {"password": "x"}}}


def test_fields_of_events_may_be_called_password() -> None:
    text = "transforms: [{rename: {password: pw}}, {cast: {token: str}}]"
    assert value(text) == {"transforms": [{"rename": {"password": "pw"}}, {"cast": {"token": "str"}}]}


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "flights.yaml").touch()
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path / "flight.yaml", {})
    assert str(raised.value) == f"{tmp_path}/flight.yaml: there is no such file (did you mean 'flights.yaml'?)"


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigurationError, match="not UTF-8 at byte 3"):
        read(tmp_path / "p.yaml", {})


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read(tmp_path / "p.yaml", {}).value == {"a": 1}


def test_a_number_too_long_for_python_is_a_mistake() -> None:
    assert said("a: " + "9" * 5000) == ["p.yaml:1:4  a  a number of 5000 digits is too long; quote it to make it text"]


def test_nesting_without_end_is_a_mistake() -> None:
    assert said("a: " + "[" * 500 + "]" * 500) == ["p.yaml:1:104  a  nested more than 100 levels deep"]
