"""`aetherstream shadow` over Lambda events in files: no stack, nothing delivered."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aetherstream.cli import main

ROOT = Path(__file__).parents[2]
SEPARATE: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
PIPELINE = """\
pipeline: p
transforms:
  - python: pipelines.own:keep
sinks: {archive: {s3: {bucket: data}}}
quarantine: {s3: {bucket: data}}
"""
FIRST = "shardId-000000000000:49590338271490256608559692538361571095921575989136588898:0"


def call(*arguments: object) -> Result:
    return CliRunner(**SEPARATE).invoke(main, ["shadow", *map(str, arguments)])


@pytest.fixture
def present(tmp_path: Path) -> Path:
    (tmp_path / "present.yaml").write_text(PIPELINE.replace("- python: pipelines.own:keep", "- select: [carrier]"))
    return tmp_path / "present.yaml"


def candidate(present: Path, step: str, **changes: str) -> Path:
    text = PIPELINE.replace("- python: pipelines.own:keep", step)
    for old, new in changes.items():
        text = text.replace(old, new)
    path = present.with_name("candidate.yaml")
    path.write_text(text)
    return path


def found(present: Path, other: Path, *more: str) -> Any:
    result = call("--pipeline", other, "--against", present, "--event", ROOT / "events/good.json", "--json", *more)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_same_pipeline_differs_in_nothing_and_exits_with_0(present: Path) -> None:
    result = call("--pipeline", present, "--against", present, "--event", ROOT / "events/good.json", "--exit-code")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "Nothing differs.")


def test_a_changed_field_is_shown_and_exits_with_1_where_that_is_asked_for(present: Path) -> None:
    other = candidate(present, "- select: [carrier, flight]")
    arguments = ["--pipeline", other, "--against", present, "--event", ROOT / "events/good.json", "--examples", 1]
    result = call(*arguments, "--exit-code")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"10 records through {present} and through {other}",
        "",
        "sink archive: 10 events before, 10 after: 0 same, 0 added, 0 missing, 10 changed",
        "  changed fields: flight 10",
        f"  changed  {FIRST}",
        "    flight: nothing → 1545",
        "",
        "rejected: 0 before, 0 after",
        "dropped: 0 before, 0 after",
        "Nothing was delivered.",
    ]


def test_the_difference_as_json_says_what_became_of_a_missing_event(present: Path) -> None:
    sink = found(present, candidate(present, '- filter: carrier != "UA"\n  - select: [carrier]'))["sinks"]["archive"]
    assert sink["missing"] > 0
    assert sink["why_missing"] == {"dropped, or not made": sink["missing"]}


def test_objects_that_would_go_elsewhere_are_a_difference(present: Path) -> None:
    facts = found(
        present,
        candidate(present, "- select: [carrier]", **{"archive: {s3: {bucket: data": "archive: {s3: {bucket: new"}),
    )
    assert (facts["differs"], facts["sinks"]["archive"]["moved"]) == (
        True,
        ["s3://data/p/archive", "s3://new/p/archive"],
    )


def test_both_sides_may_have_a_module_of_the_same_name(present: Path, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "project" / "pipelines"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "own.py").write_text("def keep(event):\n    event.clear()\n    event['mine'] = True\n    return event\n")
    (folder / "c.yaml").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path / "project")
    facts = found(present, folder / "c.yaml")
    assert facts["sinks"]["archive"]["fields"] == {"carrier": 10, "mine": 10}


def test_a_candidate_that_is_wrong_is_named_with_its_line(present: Path) -> None:
    other = candidate(present, "- selct: [carrier]")
    result = call("--pipeline", other, "--against", present, "--event", ROOT / "events/good.json")
    assert (result.exit_code, f"{other}:3" in result.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [[], ["--from", "1h", "--event", "x.json"]])
def test_it_has_to_be_said_which_records(present: Path, arguments: list[str]) -> None:
    result = call("--pipeline", present, "--against", present, *arguments)
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: say which records: --from TIME (and --to), or --event FILE\n",
    )
