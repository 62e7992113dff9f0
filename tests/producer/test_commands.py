from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from inspect import signature
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from aetherstream.cli import main
from aetherstream.producer.commands import StartOption

# click 8.1 mixes stderr into stdout unless told; later ones never do.
SEPARATE: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}


def call(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner(**SEPARATE).invoke(main, [str(argument) for argument in arguments], input=stdin)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("latest", "LATEST"),
        ("TRIM_HORIZON", "TRIM_HORIZON"),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2023-11-14T22:13:20", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2023-11-14T22:13:20+01:00", datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_tail_begins_where_it_is_told(text: str, start: object) -> None:
    assert StartOption().convert(text, None, None) == start


@pytest.mark.parametrize("text", ["yesterday", "", "nan", "1e300"])
def test_a_start_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is neither latest, trim_horizon, an ISO 8601 time nor epoch seconds"):
        StartOption().convert(text, None, None)


def test_a_missing_file_is_named() -> None:
    result = call("produce", "events", "nowhere.json")
    assert (result.exit_code, "File 'nowhere.json' does not exist" in result.stderr) == (2, True)


def test_a_missing_region_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    result = call("tail", "events")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: no AWS region is known: name one, or set AWS_REGION or AWS_DEFAULT_REGION\n",
    )


@pytest.mark.integration
@pytest.mark.usefixtures("credentials")
class TestAgainstKinesis:
    @pytest.mark.parametrize("options", [(), ("--aggregate",), ("--gzip",), ("--aggregate", "--gzip", "--ordered")])
    def test_what_is_produced_is_what_tail_prints(
        self, ministack: Any, new_stream: Callable[[int], str], options: tuple[str, ...]
    ) -> None:
        stream = new_stream(1)
        text = b'{"id":"a","n":1}\n{"id":"b","n":2}\n'
        produced = call(
            "produce", stream, "--key", "id", "--endpoint-url", ministack.endpoint, *options, "--json", stdin=text
        )
        assert produced.exit_code == 0, produced.output
        report = json.loads(produced.stdout)
        assert {name: report[name] for name in ("read", "bad_lines", "delivered", "failed", "stopped")} == {
            "read": 2,
            "bad_lines": 0,
            "delivered": 2,
            "failed": 0,
            "stopped": None,
        }
        tailed = call("tail", stream, "--from", "trim_horizon", "--no-follow", "--endpoint-url", ministack.endpoint)
        assert sorted(tailed.stdout.splitlines()) == ['{"id":"a","n":1}', '{"id":"b","n":2}']

    def test_bad_lines_are_named_and_fail_the_command(
        self, ministack: Any, new_stream: Callable[[int], str], tmp_path: Path
    ) -> None:
        file = tmp_path / "events.csv"
        file.write_bytes(b"id,n\na,1\nb\nc,3\n")
        arguments = ("produce", new_stream(1), file, "--key", "id", "--endpoint-url", ministack.endpoint)
        failed = call(*arguments)
        assert (failed.exit_code, failed.stderr) == (1, f"{file}:3: 1 cells, but the header has 2\n")
        assert "2 of 3 records delivered" in failed.stdout
        assert "1 bad lines skipped" in failed.stdout
        assert call(*arguments, "--skip-bad").exit_code == 0

    def test_a_missing_stream_is_named_once(self, ministack: Any) -> None:
        text = b'{"id":"a"}\n' * 10
        result = call("produce", "nowhere", "--endpoint-url", ministack.endpoint, stdin=text)
        assert (result.exit_code, result.stdout.count("ResourceNotFoundException: Stream nowhere not found")) == (1, 1)

    def test_tail_stops_at_its_limit_and_tells_positions(
        self, ministack: Any, new_stream: Callable[[int], str]
    ) -> None:
        stream = new_stream(1)
        call("produce", stream, "--key", "n", "--endpoint-url", ministack.endpoint, stdin=b'{"n":1}\n' * 5)
        arguments = ("tail", stream, "--from", "trim_horizon", "--limit", 3, "--endpoint-url", ministack.endpoint)
        lines = [json.loads(line) for line in call(*arguments, "--position").stdout.splitlines()]
        assert [line["event"] for line in lines] == [{"n": 1}] * 3
        assert {line["position"].partition(":")[0] for line in lines} == {"shardId-000000000000"}
        raw = [json.loads(line) for line in call(*arguments, "--raw").stdout.splitlines()]
        assert [line["data"] for line in raw] == ["eyJuIjoxfQ=="] * 3
