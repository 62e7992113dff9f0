"""What is asked of a stream from the side."""

from __future__ import annotations

from typing import Any

import pytest

from aetherstream.emission.shards import StreamShards
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.testing.builders import STREAM
from aetherstream.testing.kinesis import client_error


class Scripted:
    """A Kinesis whose answers are given."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> dict[str, Any]:
            self.calls.append((name, request))
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def shards(client: Scripted) -> StreamShards:
    return StreamShards(client, STREAM)  # type: ignore[arg-type]


def page(*records: str, behind: int = 0, further: str | None = "next") -> dict[str, Any]:
    found: dict[str, Any] = {
        "Records": [{"SequenceNumber": record} for record in records],
        "MillisBehindLatest": behind,
    }
    return found if further is None else {**found, "NextShardIterator": further}


def test_shards_are_listed_over_pages() -> None:
    client = Scripted({"Shards": [{"ShardId": "s2"}], "NextToken": "t"}, {"Shards": [{"ShardId": "s1"}]})
    assert shards(client).ids() == ["s1", "s2"]
    assert [request for _, request in client.calls] == [{"StreamARN": STREAM}, {"NextToken": "t"}]


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([page("9")], True),
        ([page()], False),
        ([page(further=None)], False),
        ([page(behind=5), page("9")], True),
        ([page(behind=5), page()], False),
        ([page(behind=5), page(behind=5), page(behind=5)], True),
        ([client_error("ProvisionedThroughputExceededException")], True),
    ],
    ids=["something", "the tip", "the end", "behind an empty page", "nothing behind one", "nobody knows", "throttled"],
)
def test_a_shard_has_more_where_anything_is_behind_the_record(
    pages: list[dict[str, Any] | Exception], *, expected: bool
) -> None:
    client = Scripted({"ShardIterator": "i"}, *pages)
    assert shards(client).has_more("s1", "7") is expected
    assert client.calls[0][1]["StartingSequenceNumber"] == "7"


def test_a_shard_of_which_nothing_is_known_is_asked_from_its_beginning() -> None:
    client = Scripted({"ShardIterator": "i"}, page())
    assert shards(client).has_more("s1", "") is False
    assert client.calls[0][1]["ShardIteratorType"] == "TRIM_HORIZON"


def test_a_record_that_the_stream_keeps_no_longer_is_before_everything() -> None:
    client = Scripted(client_error("InvalidArgumentException"), {"ShardIterator": "i"}, page("9"))
    assert shards(client).has_more("s1", "7") is True
    assert client.calls[1][1]["ShardIteratorType"] == "TRIM_HORIZON"


def test_a_stream_that_does_not_answer_is_retryable() -> None:
    with pytest.raises(Retryable, match="stream arn:"):
        shards(Scripted(client_error("LimitExceededException"))).ids()


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
def test_what_somebody_has_to_mend_is_a_configuration_error(code: str) -> None:
    with pytest.raises(ConfigurationError, match="stream arn:"):
        shards(Scripted(client_error(code))).ids()
    with pytest.raises(ConfigurationError, match="stream arn:"):
        shards(Scripted({"ShardIterator": "i"}, client_error(code))).has_more("s1", "7")
