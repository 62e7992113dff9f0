"""The command line: sample events without AWS, and a stream of the stack from `produce` to `tail`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aetherstream.local.stack import Stack
from tests.integration.flow import Flow
from tests.integration.ground import Ground
from tests.stack_fixture import ROOT

pytestmark = pytest.mark.integration

SAMPLES = {
    "good": (10, 9, 0, 1, 0),
    "poison": (15, 4, 11, 0, 0),
    "gzip": (6, 6, 0, 0, 0),
    "kpl-aggregated": (8, 8, 0, 0, 0),
    "partial-failure": (194, 192, 0, 0, 2),
    "empty": (0, 0, 0, 0, 0),
}
"""Records in, passed on, quarantined, dropped, left for retry."""


def call(*arguments: str, directory: Path, environment: dict[str, str] | None = None) -> str:
    """Run the command in a directory; what it prints."""
    command = [sys.executable, "-c", "from aetherstream.cli import main; main()", *arguments]
    variables = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT), **(environment or {})}
    done = subprocess.run(command, cwd=directory, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_event_runs_without_aws(name: str, tmp_path: Path) -> None:
    pipeline, event = ROOT / "pipelines" / "flights.yaml", ROOT / "events" / f"{name}.json"
    said = call("run", str(pipeline), "--event", str(event), "--out", "out", directory=tmp_path)
    records, passed, quarantined, dropped, left = SAMPLES[name]
    assert said.splitlines()[0] == (
        f"{records} records in = {passed} passed on + {quarantined} quarantined + {dropped} dropped + "
        f"0 settled before + {left} left for retry"
    )
    failures = json.loads(said.splitlines()[-1])["batchItemFailures"]
    assert len(failures) == (1 if left else 0)
    assert bool(files(tmp_path)) == bool(passed or quarantined)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_dry_run_of_a_sample_event_touches_nothing(name: str, tmp_path: Path) -> None:
    pipeline, event = ROOT / "pipelines" / "flights.yaml", ROOT / "events" / f"{name}.json"
    call("run", str(pipeline), "--event", str(event), "--dry-run", directory=tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize("options", [[], ["--aggregate"], ["--gzip"]])
def test_what_produce_puts_is_what_tail_shows_and_what_is_delivered(
    stack: Stack, ground: Ground, tmp_path: Path, options: list[str]
) -> None:
    events = [{"part": "ab"[n % 2], "n": n} for n in range(500)]
    (tmp_path / "events.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events))
    where = {"directory": tmp_path, "environment": stack.environment}
    said = json.loads(call("produce", ground.stream, "events.ndjson", "--json", *options, **where))  # type: ignore[arg-type]
    assert (said["delivered"], said["failed"]) == (500, 0)
    shown = call("tail", ground.stream, "--from", "trim_horizon", "--no-follow", "--position", **where)  # type: ignore[arg-type]
    lines = [json.loads(line) for line in shown.splitlines()]
    assert sorted((line["event"] for line in lines), key=lambda event: event["n"]) == events
    with Flow(stack, ground) as flow:
        flow.drain()
    assert [{**line["event"], "_event_id": line["position"]} for line in lines] == ground.archived()
