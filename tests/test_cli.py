import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from aetherstream.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
PIPELINE = """\
pipeline: p
transforms: [{filter: a > 1}]
sinks: {archive: {s3: {bucket: "${AETHERSTREAM_BUCKET}"}}}
"""
TESTS = """\
cases:
  - name: great ones stay
    input: [{a: 2}]
    expect: {archive: [{a: 2}]}
  - name: small ones stay
    input: [{a: 1}]
    expect: {archive: [{a: 1}]}
"""


class Result(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls the command as a shell does."""

    def call(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        printed = capsys.readouterr()
        return Result(int(raised.value.code or 0), printed.out, printed.err)

    return call


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one pipeline and its tests, from where the command is called."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/p.yaml").write_text(PIPELINE)
    (tmp_path / "pipelines/p.test.yaml").write_text(TESTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_help_lists_every_command_without_importing_it() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from aetherstream.cli import main\n"
        "print(CliRunner().invoke(main, ['--help']).output)\n"
        "assert not {'boto3', 'yaml', 'aetherstream.pipeline', 'aetherstream.local'} & set(sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert [line.split()[0] for line in made.stdout.partition("Commands:")[2].splitlines() if line] == list(COMMANDS)


@pytest.mark.parametrize("name", ["check", "explain", "test", "schema"])
def test_the_help_of_a_command_begins_with_what_the_list_says(name: str) -> None:
    command = main.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.get_short_help_str(200) == COMMANDS[name][3]


def test_an_unknown_command_names_the_nearest(run: Run) -> None:
    result = run("chek")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "Error: No such command 'chek' (did you mean 'check'?).",
    )


def test_check_says_ok_with_warnings_and_the_number_of_tests(project: Path, run: Run) -> None:
    result = run("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0] == "pipelines/p.yaml: ok, 2 test cases"
    assert [line[:11] for line in result.stdout.splitlines()[1:]] == ["  warning: "] * 2


def test_check_says_which_sinks_the_environment_switches_off(project: Path, run: Run) -> None:
    sinks = '{search: {opensearch: {endpoint: "${SEARCH:-}", optional: true, index: a, mappings: {a: long}}}}'
    (project / "pipelines/p.yaml").write_text(
        f"pipeline: p\nevent_time: {{field: a, max_age: 1d, max_ahead: 1h}}\n"
        f"validate: {{schema: {{}}}}\nsinks: {sinks}\n"
    )
    (project / "pipelines/p.test.yaml").unlink()
    assert run("check").stdout.splitlines() == [
        "pipelines/p.yaml: ok",
        "  sinks.search is switched off: its endpoint is empty",
    ]
    assert run("check", "--env", "SEARCH=https://host").stdout.splitlines() == ["pipelines/p.yaml: ok"]


def test_check_names_the_mistakes_of_all_files_and_exits_with_2(project: Path, run: Run) -> None:
    (project / "pipelines/q.yaml").write_text("pipeline: q\n")
    (project / "pipelines/p.yaml").write_text(PIPELINE.replace("filter", "filtre"))
    result = run("check")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: 1 mistake in pipelines/p.yaml:\n"
        "  pipelines/p.yaml:2:15  transforms[0].filtre  unknown key (did you mean 'filter'?)\n"
        "Error: 1 mistake in pipelines/q.yaml:\n"
        "  pipelines/q.yaml:1:1  'sinks' is missing: Where events go, by name.\n"
    )


def test_check_looks_at_the_tests_too(project: Path, run: Run) -> None:
    (project / "pipelines/p.test.yaml").write_text(TESTS.replace("input", "inputs", 1))
    result = run("check")
    assert result.exit_code == 2
    assert "pipelines/p.test.yaml:3:5  cases[0].inputs  unknown key (did you mean 'input'?)" in result.stderr


def test_check_finds_steps_from_the_folder_where_it_is_called(project: Path, run: Run) -> None:
    (project / "own_steps_of_test_cli.py").write_text("def keep(event):\n    return event\n")
    (project / "pipelines/p.yaml").write_text(PIPELINE.replace("filter: a > 1", "python: 'own_steps_of_test_cli:keep'"))
    assert run("check").exit_code == 0


def test_check_in_an_empty_folder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("check")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: there is no pipelines/*.yaml here; name a pipeline file, or call this where the project is\n",
    )


def test_a_variable_can_be_given(project: Path, run: Run) -> None:
    (project / "pipelines/p.yaml").write_text(PIPELINE.replace("AETHERSTREAM_BUCKET", "OTHER"))
    assert run("check").exit_code == 2
    assert run("check", "--env", "OTHER=some-bucket").exit_code == 0
    assert "s3://some-bucket/p/archive/" in run("explain", "--env", "OTHER=some-bucket").stdout


def test_a_variable_without_a_value_is_a_wrong_call(project: Path, run: Run) -> None:
    result = run("explain", "--env", "OTHER")
    assert (result.exit_code, result.stderr) == (2, "Error: --env OTHER: write NAME=VALUE\n")


def test_explain_prints_the_plan(project: Path, run: Run) -> None:
    result = run("explain", "pipelines/p.yaml")
    assert result.exit_code == 0
    assert "  1. filter     keep where a > 1; the rest is dropped and counted\n" in result.stdout


def test_explain_of_a_file_that_is_not_there_names_the_nearest(project: Path, run: Run) -> None:
    result = run("explain", "pipelines/pp.yaml")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: pipelines/pp.yaml: there is no such file (did you mean 'p.yaml'?)\n",
    )


def test_explain_asks_which_of_several_pipelines(project: Path, run: Run) -> None:
    (project / "pipelines/q.yaml").write_text(PIPELINE)
    result = run("explain")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: which pipeline? There are pipelines/p.yaml, pipelines/q.yaml\n",
    )


def test_test_shows_the_difference_and_exits_with_1(project: Path, run: Run) -> None:
    result = run("test")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "ok      great ones stay",
        "FAILED  small ones stay",
        "        archive[0]: expected, and did not come:",
        "        -{",
        '        -  "a": 1',
        "        -}",
        "        dropped: expected 0, got 1",
        "1 passed, 1 failed",
    ]


def test_test_runs_one_case_by_name(project: Path, run: Run) -> None:
    result = run("test", "--case", "great ones stay")
    assert (result.exit_code, result.stdout) == (0, "ok      great ones stay\n1 passed, 0 failed\n")


def test_test_names_the_nearest_case(project: Path, run: Run) -> None:
    result = run("test", "--case", "great ones go")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: pipelines/p.test.yaml has no case 'great ones go' (did you mean 'great ones stay'?)\n",
    )


@pytest.mark.parametrize(
    ("option", "title"), [((), "AetherStream pipeline"), (("--tests",), "AetherStream pipeline tests")]
)
def test_schema_prints_json(option: tuple[str, ...], title: str, run: Run) -> None:
    assert json.loads(run("schema", *option).stdout)["title"] == title


def test_schema_prints_the_reference_page(run: Run) -> None:
    assert run("schema", "--markdown").stdout == (ROOT / "docs/reference/pipeline.md").read_text()
