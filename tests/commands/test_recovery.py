"""What the commands make of answers and of the quarantine, without a stack."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from click.testing import CliRunner

from aetherstream.cli import main
from aetherstream.commands.answers import accounting
from aetherstream.commands.quarantined import UNIT_BYTES, UNIT_RECORDS, Totals, units
from aetherstream.errors import Rejected
from aetherstream.recovery.envelopes import Envelope
from aetherstream.recovery.redrive_report import RedriveCount, RedriveReport
from tests.recovery.test_envelopes import FIRST


@dataclass
class Chosen:
    """A selection of many envelopes that notes how many have been asked for."""

    count: int
    taken: int = 0
    objects: list[str] = field(default_factory=lambda: ["a"])

    def waiting(self) -> Iterator[tuple[str, Envelope]]:
        for number in range(self.count):
            self.taken += 1
            yield self.objects[number % len(self.objects)], replace(FIRST, id=f"s:{number}:0")


def cut(chosen: Any, patch: Any = None, totals: Totals | None = None) -> Iterator[Any]:
    return units(chosen, patch, totals or Totals())


def test_requests_are_made_as_records_stream_by() -> None:
    chosen = Chosen(5 * UNIT_RECORDS)
    made = cut(chosen)
    [entry], patched, causes = next(made)
    assert (chosen.taken, len(entry["ids"]), patched, causes) == (UNIT_RECORDS, UNIT_RECORDS, {}, [FIRST.fingerprint])
    assert len(list(made)) == 4


def test_a_request_names_the_records_of_each_object() -> None:
    [(entries, _, _)] = cut(Chosen(4, objects=["a", "b"]))
    assert entries == [{"key": "a", "ids": ["s:0:0", "s:2:0"]}, {"key": "b", "ids": ["s:1:0", "s:3:0"]}]


def test_nothing_chosen_is_no_request() -> None:
    assert list(cut(Chosen(0))) == []


def test_patched_records_keep_a_request_small() -> None:
    sizes = [
        (sum(map(len, patched.values())), len(patched))
        for _, patched, _ in cut(Chosen(10), lambda _: b"x" * (UNIT_BYTES // 4))
    ]
    assert [count for _, count in sizes] == [3, 3, 3, 1]
    assert max(size for size, _ in sizes) <= UNIT_BYTES


def test_what_a_patch_can_not_mend_is_counted_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    def patch(envelope: Envelope) -> bytes:
        if envelope.id == "s:1:0":
            raise Rejected("no", "no way")
        return b"{}"

    totals = Totals()
    [(entries, patched, _)] = cut(Chosen(3), patch, totals)
    assert (entries[0]["ids"], totals.unmended) == (["s:0:0", "s:2:0"], 1)
    assert patched == dict.fromkeys(entries[0]["ids"], base64.b64encode(b"{}").decode())
    assert capsys.readouterr().err == "not mended: s:1:0: no way\n"


def report(**fields: Any) -> dict[str, Any]:
    return RedriveReport(**fields).as_dict()


def test_a_report_reads_as_its_equation() -> None:
    done = report(
        records=7,
        passed=3,
        held=2,
        quarantined=1,
        dropped=1,
        sinks={"archive": RedriveCount(events=5, held=2, delivered=3)},
        reasons={"decode: not JSON": 1},
        objects=["data/a", "data/b"],
    )
    assert list(accounting(done)) == [
        "7 records = 3 delivered + 2 delivered before + 1 quarantined + 1 dropped by a filter",
        "  archive: 5 events, 3 delivered, 2 held before",
        "  refused 1: decode: not JSON",
        "  wrote s3://data/a",
        "  wrote s3://data/b",
    ]


def test_a_dry_run_reads_as_what_would_be() -> None:
    planned = report(records=1, passed=1, dry_run=True, objects=[f"data/{n}" for n in range(5)])
    assert list(accounting(planned)) == [
        "1 record = 1 would be delivered",
        "  would write 5 objects (--json names them)",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dlq", "redrive"], "say which dead letters: their KEYS (an end of one is enough), --all, or --queue URL"),
        (["dlq", "redrive", "x", "--all"], "say which dead letters"),
        (["dlq", "discard", "--all", "--queue", "q"], "say which dead letters"),
        (["dlq", "redrive", "--all", "--where", "a >"], "--where 'a >': "),
        (["quarantine", "discard", "--yes"], "say which: --fingerprint F (repeat it for several), or --where EXPR"),
    ],
)
def test_a_call_that_does_not_say_what_it_means_is_refused_before_anything_is_asked(
    arguments: list[str], message: str
) -> None:
    result = CliRunner().invoke(main, [*arguments, "--endpoint-url", "http://127.0.0.1:9"])
    assert (result.exit_code, message in result.output) == (2, True), result.output


def test_a_stack_that_is_not_there_is_a_wrong_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    call = ["dlq", "list", "--endpoint-url", "http://127.0.0.1:9", "--region", "us-east-1"]
    result = CliRunner().invoke(main, call)
    assert (result.exit_code, "the stack aetherstream can't be looked up" in result.output) == (2, True), result.output
