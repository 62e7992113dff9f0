"""Progress, replay and shadow by the commands, on the deployed functions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aetherstream.local.stack import Stack
from tests.integration.flow import Flow
from tests.integration.ground import Ground
from tests.integration.recovering import Recovering
from tests.stack_fixture import ROOT

pytestmark = pytest.mark.integration

WIDER = {"AETHERSTREAM_PIPELINE": "pipelines/drill/wider.yaml"}


def second(ground: Ground) -> list[str]:
    found = [event["_event_id"] for written in ground.objects("second/") for event in written.events]
    return sorted(found)


def test_a_new_sink_is_filled_once_from_the_stream_and_the_archive_while_the_stream_flows(
    stack: Stack, ground: Ground, tmp_path: Path
) -> None:
    first = ground.put([{"part": part, "n": n} for n, part in enumerate("abcabc")])
    ground.put([b"not JSON"])
    flow = Flow(stack, ground)
    with flow, Recovering(stack, ground, flow, tmp_path, WIDER) as recovery:
        flow.drain()
        [tried] = recovery.lines("replay", "--from", "1h", "--into", "second", "--dry-run")
        assert (tried["sinks"]["second"]["delivered"], second(ground)) == (6, [])
        [done] = recovery.lines("replay", "--from", "1h", "--into", "second")
        assert (done["sinks"]["second"]["delivered"], done["records"]["still_quarantined"]) == (6, 1)
        assert second(ground) == first

        later = ground.put([{"part": "a", "n": 7}])
        flow.drain()
        [filled] = recovery.lines("replay", "--from", "1h", "--archive", "archive", "--into", "second")
        assert (filled["sinks"]["second"]["delivered"], filled["sinks"]["second"]["held"]) == (1, 6)
        [again] = recovery.lines("replay", "--from", "1h")
        assert {name: sink["delivered"] for name, sink in again["sinks"].items()} == {"archive": 0, "second": 0}
    assert (ground.ids(), second(ground)) == (first + later, sorted(first + later))


def test_after_a_reset_a_second_pass_delivers_everything_again(stack: Stack, ground: Ground, tmp_path: Path) -> None:
    ids = ground.put([{"part": part, "n": n} for n, part in enumerate("abcabc")])
    flow = Flow(stack, ground)
    with flow, Recovering(stack, ground, flow, tmp_path) as recovery:
        flow.drain()
        flow.poller.stop()
        [before] = recovery.lines("progress", "show")
        assert (before["mark"], before["totals"]["passed"]) == (ids[-1].split(":")[1], 6)
        for key in ground.keys("drill/archive"):
            ground.clients.s3.delete_object(Bucket=ground.bucket, Key=key)
        recovery.run("progress", "reset", "--all")
        assert recovery.lines("progress", "show") == [before]

        recovery.run("progress", "reset", "--all", "--yes")
        [cleared] = recovery.lines("progress", "show")
        assert (cleared["mark"], cleared["epoch"]) == (None, before["epoch"] + 1)
        flow.start()
        flow.drain()
        [after] = recovery.lines("progress", "show")
    assert (after["mark"], ground.ids()) == (before["mark"], ids)


def test_a_candidate_is_held_against_the_package_that_is_deployed(stack: Stack, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    candidate = tmp_path / "pipelines" / "flights.yaml"
    # The deployed package has its own steps: those of the folder must not be taken for them.
    steps = tmp_path / "pipelines" / "steps.py"
    steps.write_text(steps.read_text().replace("return event", "return {**event, 'mine': True}"))
    command = [sys.executable, "-c", "from aetherstream.cli import main; main()", "shadow", "--json", "--pipeline"]
    done = subprocess.run(
        [*command, str(candidate), "--event", str(ROOT / "events/good.json"), "--stack", "aetherstream-test"],
        cwd=tmp_path,
        env={"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT), **stack.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    archive = json.loads(done.stdout)["sinks"]["archive"]
    assert (archive["fields"], archive["added"], archive["missing"]) == ({"mine": 9}, 0, 0)
