"""Whatever a person does to a pipeline file, they get a pipeline or one message, never a traceback."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherstream.errors import AetherStreamError
from aetherstream.pipeline.cases import load_cases
from aetherstream.pipeline.compiled import check
from aetherstream.pipeline.explain import explain
from tests.pipeline.writing import ON

PIPELINES = Path(__file__).parents[2] / "pipelines"
PIECES = [
    *("{", "}", "[", "]", ":", "- ", "\n", "\t", "  ", "&a ", "*a ", "<<: ", "!!int ", "!!binary x", "? ", "|", ">"),
    *('"', "'", "#", "${", "${X}", "$${", "null", "~", "true", "0x", "1e999", ".nan", "9" * 5000, "%", "@", "`", "\0"),
    *("\u2028", "é", "---\n", "? [a]\n: b\n", "{a: b}: c\n", "[]", "{}", '""', "-1", "as", "expr", "transforms:\n"),
]

Edits = list[tuple[float, int, str]]
edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from(PIECES) | st.text(max_size=5)),
    min_size=1,
    max_size=4,
)


def edited(text: str, changes: Edits) -> bytes:
    for place, cut, piece in changes:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + cut :]
    return text.encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(PIPELINES, tmp_path_factory.mktemp("any") / "pipelines"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=edits)
def test_any_pipeline_file_is_a_pipeline_or_a_message(folder: Path, changes: Edits) -> None:
    file = folder / "flights.yaml"
    file.write_bytes(edited((PIPELINES / "flights.yaml").read_text(), changes))
    with suppress(AetherStreamError):
        assert explain(check(file, ON))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=edits)
def test_any_file_of_cases_is_one_or_a_message(folder: Path, changes: Edits) -> None:
    file = folder / "flights.test.yaml"
    file.write_bytes(edited((PIPELINES / "flights.test.yaml").read_text(), changes))
    with suppress(AetherStreamError):
        assert load_cases(file).cases
