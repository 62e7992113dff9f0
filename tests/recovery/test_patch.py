"""A patch mends the bytes of a record, or leaves it with the reason."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from aetherstream.errors import Rejected, UsageError
from aetherstream.recovery.envelopes import Envelope
from aetherstream.recovery.patch import patch_of
from tests.recovery.test_envelopes import FIRST, WHOLE

STEPS = "transforms:\n  - set: {carrier: '\"UA\"'}\n  - filter: a > 0\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mending.py").write_text(
        "def closed(data, envelope): return data.replace(b'{no', b'{\"no\":') + b'}'\n"
        "def none(data, envelope): return None\n"
        "def wrong(data, envelope): return {'a': 1}\n"
        "def broken(data, envelope): return data / 2\n"
        "def cause(data, envelope): return envelope['reason'].encode()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mending", raising=False)
    return "mending"


def holding(data: bytes) -> Envelope:
    from dataclasses import replace

    return replace(FIRST, data=base64.b64encode(data).decode())


def test_a_function_gets_the_bytes_and_gives_others(module: str) -> None:
    assert patch_of(f"{module}:closed")(WHOLE) == b'{"no": json}'


def test_a_function_gets_the_envelope_too(module: str) -> None:
    assert patch_of(f"{module}:cause")(WHOLE) == b"not JSON"


def test_a_function_that_gives_none_leaves_the_record(module: str) -> None:
    with pytest.raises(Rejected, match="mending:none gave None"):
        patch_of(f"{module}:none")(FIRST)


def test_what_a_function_raises_leaves_the_record_and_is_said(module: str) -> None:
    with pytest.raises(Rejected, match="mending:broken: TypeError: unsupported operand"):
        patch_of(f"{module}:broken")(FIRST)


def test_a_function_that_gives_no_bytes_stops_the_command(module: str) -> None:
    with pytest.raises(UsageError, match="mending:wrong returned dict: it takes bytes and the envelope"):
        patch_of(f"{module}:wrong")(FIRST)


def test_a_function_that_is_not_there_stops_the_command(module: str) -> None:
    with pytest.raises(UsageError, match="--patch mending:close: mending has no function 'close'"):
        patch_of(f"{module}:close")


def test_steps_of_a_file_change_the_decoded_record(tmp_path: Path) -> None:
    (tmp_path / "mend.yaml").write_text(STEPS)
    assert patch_of(str(tmp_path / "mend.yaml"))(holding(b'{"a": 1}')) == b'{"a":1,"carrier":"UA"}'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{no", "not JSON"),
        (b'[{"a": 1}, {"a": 2}]', "the steps make 2 records of one; a patch gives one for one"),
        (b'{"a": 0}', "the steps make 0 records of one; a patch gives one for one"),
        (b'{"a": null}', "`a > 0`"),
    ],
)
def test_what_the_steps_can_not_mend_is_left(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "mend.yaml").write_text(STEPS)
    with pytest.raises(Rejected) as raised:
        patch_of(str(tmp_path / "mend.yaml"))(holding(data))
    assert why in raised.value.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- setting: {}\n", "it holds `transforms:` as a pipeline file does"),
        ("transforms: [{filter: a >}]\n", "it holds `transforms:` as a pipeline file does"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_a_file_that_is_wrong_stops_the_command(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mend.yaml").write_text(text)
    with pytest.raises(UsageError, match=why):
        patch_of(str(tmp_path / "mend.yaml"))


def test_a_file_that_is_not_there_stops_the_command() -> None:
    with pytest.raises(UsageError, match=r"--patch none\.yaml: No such file"):
        patch_of("none.yaml")
