"""Stores and commits are composed the same way for every function."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from aetherstream.compose_states import logs_prefix, owner_of, stores_of
from aetherstream.errors import ConfigurationError
from aetherstream.settings import Settings

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/events"


def test_stores_need_the_name_of_their_table() -> None:
    settings = Settings(Path("p.yaml"), None, False, False, {})

    with ThreadPoolExecutor(1) as executor, pytest.raises(ConfigurationError, match="AETHERSTREAM_STATE_TABLE"):
        stores_of(settings, boto3.Session(), executor)


@pytest.mark.parametrize("stream", ["events", STREAM])
def test_owners_and_logs_are_named_by_the_stream_however_it_is_given(stream: str) -> None:
    assert (owner_of("flights", stream), logs_prefix("flights", stream)) == (
        "flights#events",
        "flights/.aggregates/events",
    )
