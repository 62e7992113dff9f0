"""Results of aggregates in a real index that is away for a while, as emitter and closer of a pipeline send them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opensearchpy import OpenSearch

from aetherstream.local.environment import Clients
from aetherstream.local.ministack import MiniStack
from aetherstream.records import Event
from tests.integration.aggregates_here import Here
from tests.integration.aggregating import (
    DAY,
    Result,
    Values,
    aggregating_of,
    event,
    hourly,
    sessions,
    text,
)
from tests.integration.state_faults import CUT, Faulty

pytestmark = pytest.mark.integration

NEXT_DAY = text(DAY + 86400)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


class Index:
    """What stands in the indices of a test."""

    def __init__(self, url: str, prefix: str) -> None:
        self._client = OpenSearch(url, timeout=60)
        self._prefix = prefix

    def documents(self, name: str) -> list[Event]:
        """The documents of an aggregate."""
        index = f"{self._prefix}-{name}"
        self._client.indices.refresh(index=index)
        answer = self._client.search(index=index, body={"size": 1000})
        return [hit["_source"] for hit in answer["hits"]["hits"]]

    def results(self, name: str, *, final: bool | None = None) -> dict[Result, Values]:
        """Their values; all of them have to be final, or none, where it is said."""
        found = self.documents(name)
        assert final is None or {each["final"] for each in found} == {final}
        return {(each["window_start"], each["part"]): (each["n"], int(each["total"])) for each in found}


def some(hours: range, each: int, first: int = 0) -> list[Event]:
    return [
        event(part, 60 * hour + 5 * index + at, first + 100 * hour + 10 * index + at)
        for hour in hours
        for index in range(each)
        for at, part in enumerate("abcd")
    ]


def test_an_index_that_was_away_has_the_newest_results_afterwards(
    emulator: MiniStack, opensearch: str, index_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, index = aggregating_of(Clients(emulator.endpoint)), Index(opensearch, index_prefix)
    stream = Here(world, monkeypatch)
    with Faulty(opensearch) as way:
        search = Here(world, monkeypatch, {"AETHERSTREAM_OPENSEARCH_ENDPOINT": way.url, "DRILL_INDEX": index_prefix})
        # Two visits of z, ten minutes and more apart.
        sent = [*some(range(3), 2), event("z", 0, 1), event("z", 15, 2)]
        world.put(sent, "one shard")
        stream.deliver()
        search.emit()
        assert index.results("correcting", final=False) == index.results("dropping", final=False) == hourly(sent)
        assert index.results("visits", final=False) == sessions(sent)

        way.obey(lambda *_: CUT)
        # One event unites the two visits of z.
        more = [*some(range(2, 4), 2, 5000), event("z", 7, 4)]
        world.put(more, "one shard")
        stream.deliver()
        # As long as there is time, both try again.
        search.seconds = 12
        search.emit(holds=lambda: search.reported)
        search.seconds = 21
        failed = search.close(NEXT_DAY)
        search.seconds = 300
        assert (failed["state"], failed["windows"] < 4 * 4) == ("failed", True)
        assert index.results("visits", final=False) == sessions(sent)
        way.obey(None)

        search.emit()
        everything = [*sent, *more]
        # Some windows were marked as closed before their results could be sent.
        assert index.results("visits") == sessions(everything)
        assert index.results("correcting") == hourly(everything)
        assert search.close(NEXT_DAY)["state"] == "done"
        search.emit()
        for _ in range(2):
            assert index.results("correcting", final=True) == world.final("correcting") == hourly(everything)
            assert index.results("visits", final=True) == world.final("visits") == sessions(everything)
            before = index.documents("correcting"), index.documents("visits")
            # All that the table's stream has told, once more from its beginning.
            search.forget()
            search.emit()
            assert (index.documents("correcting"), index.documents("visits")) == before
    world.close()
