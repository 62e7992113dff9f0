"""The handler in the poller's own process, for a debugger, against the handler as deployed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aetherstream.local.stack import Stack
from aetherstream.records import Event
from demo.traffic import traffic
from tests.integration.flow import Flow
from tests.integration.ground import Ground
from tests.stack_fixture import ROOT

pytestmark = pytest.mark.integration


def test_the_handler_in_process_writes_the_same_objects_as_the_deployed_one(
    stack: Stack, new_ground: Callable[..., Ground], package: Path
) -> None:
    deployed, debugged = new_ground("flights"), new_ground("flights")
    # Both read one stream; all is put beforehand, so that both see the same batches.
    records: list[tuple[str, object]] = [(sent.partition_key, sent.data) for sent in traffic(2_000) if sent.data]
    deployed.put_keyed(records)
    with Flow(stack, deployed, pipeline="pipelines/flights.yaml") as flow:
        flow.drain()
    other = Flow(stack, debugged, pipeline="pipelines/flights.yaml")
    arguments = [stack.endpoint, other.function_arn, flow.settings.stream_arn, str(package)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.in_process", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    other.stop()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(records)} 0"
    assert contents(debugged) == contents(deployed)
    assert len(contents(deployed)) > 1


def contents(ground: Ground) -> list[tuple[str, dict[str, str], list[Event]]]:
    """Key, metadata and lines of each object, without the version: in this process the code is that of the checkout."""
    return [
        (
            made.key,
            {name: value for name, value in made.metadata.items() if name not in {"aether-version", "aether-digest"}},
            [{name: value for name, value in line.items() if name != "version"} for line in made.events],
        )
        for made in ground.objects()
    ]
