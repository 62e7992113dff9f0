from __future__ import annotations

import os
from pathlib import Path

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.state import StateDirectory


def test_a_claimed_directory_names_its_owner(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.claim()
    assert StateDirectory(tmp_path).owner() == os.getpid()
    state.release()


def test_a_released_directory_has_no_owner(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.claim()
    state.release()
    assert state.owner() is None


def test_the_second_claim_says_what_runs_and_where(tmp_path: Path) -> None:
    first = StateDirectory(tmp_path)
    first.claim()
    first.write_status({"endpoint": "http://127.0.0.1:4"})
    with pytest.raises(UsageError, match=rf"already runs in .* \(process {os.getpid()}, http://127.0.0.1:4\)"):
        StateDirectory(tmp_path).claim()
    first.release()


def test_what_a_killed_owner_left_behind_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "stack.lock").write_text("1")
    (tmp_path / "status.json").write_text('{"endpoint": "http://127.0.0.1:4"}')
    state = StateDirectory(tmp_path)
    assert state.owner() is None
    state.claim()
    assert state.status() == {}
    state.release()


def test_a_directory_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"the state directory .*file/below can't be used .*name another"):
        StateDirectory(tmp_path / "file" / "below").claim()
