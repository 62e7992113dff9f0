from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.environment import choose_port
from aetherstream.local.ministack import MiniStack
from aetherstream.local.stack import Stack
from tests.stack_fixture import TINY

pytestmark = pytest.mark.integration


def put(stack: Stack, *values: dict[str, Any]) -> None:
    records: Any = [{"Data": json.dumps(value).encode(), "PartitionKey": "k"} for value in values]
    answer = stack.clients.kinesis.put_records(StreamName=stack.outputs["StreamName"], Records=records)
    assert answer["FailedRecordCount"] == 0


def written(stack: Stack) -> list[int]:
    """The numbers that the function has written, sorted, repeats included."""
    files = (stack.object_files(stack.outputs["BucketName"]) / "out").glob("shardId-*")
    return sorted(int(line) for file in files if file.suffix != ".json" for line in file.read_text().splitlines())


def test_records_flow_through_the_deployed_function_and_failures_to_the_destination(tiny_stack: Stack) -> None:
    put(tiny_stack, {"n": 1}, {"n": 2}, {"n": 3, "do": "raise"}, {"n": 4})
    (progress,) = tiny_stack.drain(60).values()
    assert (progress.read, progress.finished, progress.discarded, progress.undelivered) == (4, 4, 1, 0)
    assert written(tiny_stack) == [1, 2, 4]
    bucket = tiny_stack.outputs["DeadLetterBucketName"]
    (listed,) = tiny_stack.clients.s3.list_objects_v2(Bucket=bucket)["Contents"]
    body = json.loads(tiny_stack.clients.s3.get_object(Bucket=bucket, Key=listed["Key"])["Body"].read())
    assert body["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert len(json.loads(body["payload"])["Records"]) == 1


def test_a_function_killed_in_mid_batch_is_run_again(tiny_stack: Stack) -> None:
    before = tiny_stack.pollers["StreamMapping"].progress()
    put(tiny_stack, {"n": 10, "do": "wait to be killed"})
    begun = tiny_stack.clients.s3.get_waiter("object_exists")
    begun.wait(Bucket=tiny_stack.outputs["BucketName"], Key="begun", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    for pid in tiny_stack.worker_pids():
        os.kill(pid, signal.SIGKILL)
    (progress,) = tiny_stack.drain(60).values()
    assert progress.failed == before.failed + 1
    assert progress.discarded == before.discarded
    assert 10 in written(tiny_stack)


def test_the_settings_are_those_of_the_deployed_template(tiny_stack: Stack) -> None:
    settings = tiny_stack.pollers["StreamMapping"].settings
    assert (settings.batch_size, settings.maximum_retry_attempts, settings.bisect) == (10_000, 1, True)
    assert settings.on_failure == f"arn:aws:s3:::{tiny_stack.outputs['DeadLetterBucketName']}"
    assert settings.function_arn == tiny_stack.outputs["FunctionAliasArn"]


def test_ministacks_own_poller_is_off(tiny_stack: Stack) -> None:
    (mapping,) = tiny_stack.clients.lambda_.list_event_source_mappings()["EventSourceMappings"]
    assert mapping["State"] == "Disabled"


def test_polling_continues_where_it_stopped(tiny_stack: Stack) -> None:
    tiny_stack.drain(60)
    tiny_stack.stop_polling()
    put(tiny_stack, {"n": 20})
    tiny_stack.start_polling()
    (progress,) = tiny_stack.drain(60).values()
    assert progress.read == 1


def test_the_handler_runs_in_this_process_for_a_debugger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from aetherstream.local.stack import Stack\n"
        "template = Path(sys.argv[1])\n"
        "with Stack(template, state=Path(sys.argv[2]), source=template.parent / 'src') as stack:\n"
        "    stream = stack.outputs['StreamName']\n"
        "    stack.clients.kinesis.put_record(StreamName=stream, Data=json.dumps({'n': 1}), PartitionKey='k')\n"
        "    (progress,) = stack.drain(30).values()\n"
        "    print(json.dumps([progress.finished, progress.failed, stack.worker_pids(), 'app' in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(TINY), str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == [1, 0, [], True]


def test_a_killed_owner_takes_the_emulator_with_it(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from aetherstream.local.ministack import MiniStack\n"
        "emulator = MiniStack(Path(sys.argv[1]))\n"
        "emulator.start()\n"
        "print(emulator.port, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        owner.kill()
    # A start in the same directory waits for the predecessor's end.
    successor = MiniStack(tmp_path, port=port)
    successor.start()
    successor.stop()
    assert choose_port(port) == port


def test_a_second_stack_in_the_same_directory_is_refused(tiny_stack: Stack) -> None:
    with pytest.raises(UsageError, match=f"already runs in .*{tiny_stack.endpoint}"):
        Stack(TINY, state=tiny_stack.directory).start()


def test_a_stopped_stack_leaves_no_process_and_no_temporary_directory() -> None:
    stack = Stack(TINY, parameters={"MaximumRetryAttempts": "0"}).start()
    pid, directory = stack.ministack.pid, stack.directory
    stack.stop()
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_failed_deployment_leaves_nothing_running(tmp_path: Path) -> None:
    stack = Stack(TINY, state=tmp_path, parameters={"EventSourceMappingEnabled": "perhaps"})
    with pytest.raises(UsageError, match=r"`sam deploy` of .* failed"):
        stack.start()
    assert not stack.ministack.running
