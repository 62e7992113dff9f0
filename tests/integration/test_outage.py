"""OpenSearch away, contrary, or full of it already: every event is in it once in the end, and S3 never waits for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import NotFoundError

from aetherstream.local.stack import Stack
from aetherstream.records import Event
from tests.integration.commands import Commands
from tests.integration.conftest import PARAMETERS
from tests.integration.flow import Flow, ground_of
from tests.integration.ground import until
from tests.integration.recovering import Recovering
from tests.integration.searching import INDICES, PIPELINE, Searching
from tests.opensearch_fixture import go_without

pytestmark = pytest.mark.integration

CHUNK = 200


@pytest.fixture(scope="module")
def stack(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The template with an OpenSearch of its own, deployed by sam; the drain is called by nobody but the tests."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("OPENSEARCH_URL", raising=False)  # nobody else's server is to be killed
        running = Stack(
            project / "template.yaml",
            state=tmp_path_factory.mktemp("outage"),
            stack_name="aetherstream-outage",
            parameters={**PARAMETERS, "PipelineFile": PIPELINE, "BatchSize": "500"},
        )
        with running:
            if running.opensearch is None:
                go_without(running.opensearch_missing)
            yield running


@pytest.fixture(scope="module")
def searching(stack: Stack) -> Searching:
    assert stack.opensearch is not None
    searching = Searching(stack, stack.opensearch)
    searching.schedule("DISABLED")
    return searching


@pytest.fixture
def commands(stack: Stack, tmp_path: Path) -> Commands:
    return Commands("aetherstream-outage", tmp_path, stack.environment)


def events(part: str, month: int, count: int, start: int = 0) -> list[tuple[str, object]]:
    """Events of a part, each with a partition key; their documents go to the index of that month."""
    return [
        (f"k{n % 7}", {"part": part, "n": n, "weight": n / 2, "at": f"2026-{month:02}-{1 + n % 28:02}T00:00:00Z"})
        for n in range(start, start + count)
    ]


def ids(places: list[tuple[str, str]]) -> list[str]:
    """The event ids of the records that were put there."""
    return sorted(f"{shard}:{sequence}:0" for shard, sequence in places)


def only(lines: list[Any]) -> Event:
    """The one line."""
    [line] = lines
    return dict(line)


def test_a_breaker_opened_by_hand_spills_until_it_is_closed_by_hand(searching: Searching, commands: Commands) -> None:
    assert "Nothing was changed." in commands.run("breaker", "open", "search", "--why", "upgrade")
    assert searching.breaker().state == "closed"
    opened = only(commands.lines("breaker", "open", "search", "--why", "upgrade", "--yes"))
    assert (opened["state"], opened["held"], opened["why"]) == ("open", True, "upgrade")

    searching.renew()
    put = searching.ground.put_keyed(events("held", 2, CHUNK))
    searching.stack.drain(60)
    assert (searching.found("held"), searching.waiting(), searching.archived("held")) == ([], ids(put), ids(put))
    held = only(commands.lines("breaker", "drain", "--now"))
    assert (held["drained"], held["stopped"]) == (
        0,
        "opened by hand, and so held open until it is closed by hand",
    )

    closed = only(commands.lines("breaker", "close", "search", "--yes"))
    assert (closed["state"], closed["documents"]) == ("closed", CHUNK)
    drained = only(commands.lines("breaker", "drain", "search"))
    assert (drained["drained"], drained["rejected"], drained["left"], drained["objects"]) == (CHUNK, 0, 0, 0)
    assert (searching.found("held"), searching.waiting()) == (ids(put), [])
    searching.renew()  # a warm function hears of it only some seconds later
    assert "search: 0 documents delivered, 0 objects done" in commands.run("breaker", "drain")


def test_a_document_that_does_not_fit_is_quarantined_alone_and_comes_once_it_is_mended(
    searching: Searching, commands: Commands, tmp_path: Path
) -> None:
    records = events("conflict", 3, 9)
    key, event = records[4]
    assert isinstance(event, dict)
    records[4] = (key, {**event, "weight": "heavy"})
    before = searching.share()
    places = searching.ground.put_keyed(records)
    searching.stack.drain(60)
    put = ids(places)
    [refused] = ids(places[4:5])
    neighbours = [event_id for event_id in put if event_id != refused]
    assert (searching.found("conflict"), searching.archived("conflict")) == (neighbours, put)
    share = {name: count - before[name] for name, count in searching.share().items()}
    assert share == {"events": 9, "delivered": 8, "quarantined": 1, "spilled": 0}

    [envelope] = [each for each in searching.ground.quarantined() if each["id"] == refused]
    assert (envelope["stage"], envelope["where"], envelope["reason"], envelope["event"]["weight"]) == (
        "deliver",
        "sinks.search",
        "mapper_parsing_exception: field weight of type double",
        "heavy",
    )
    assert "OpenSearch answered 400: mapper_parsing_exception: failed to parse field [weight]" in envelope["message"]
    assert 'For input string: "heavy"' in envelope["message"]

    (tmp_path / "mend.yaml").write_text("transforms:\n  - set: {weight: '2'}\n")
    replay = ("quarantine", "replay", "--fingerprint", envelope["fingerprint"], "--patch", "mend.yaml")
    [unpatched] = commands.lines(*replay[:4], "--yes")
    assert (unpatched["finished"], searching.found("conflict")) == (0, neighbours)
    [tried] = commands.lines(*replay)
    assert (tried["finished"], searching.found("conflict")) == (1, neighbours)
    [done] = commands.lines(*replay, "--yes")
    assert (done["state"], done["finished"]) == ("replayed", 1)
    assert commands.lines("quarantine", "list") == []
    assert (searching.found("conflict"), searching.archived("conflict")) == (put, put)
    mended = searching.client.get(index="drill-2026.03", id=refused)["_source"]
    assert (mended["weight"], mended["_event_id"]) == (2, refused)


def test_a_dead_letter_whose_documents_stand_in_opensearch_already_makes_no_second_ones(
    searching: Searching, unreliable: Any, tmp_path: Path
) -> None:
    stack = searching.stack
    ground = ground_of(stack, "outage-dead", "drill")
    unreliable.obey({"service": "s3", "operation": "PutObject", "error": {"code": "SlowDown", "status": 503}})
    given_up_at_once = {"maximum_retry_attempts": 0, "bisect": False}
    put = ids(ground.put_keyed(events("dead", 4, 20)))
    flow = Flow(stack, ground, pipeline=PIPELINE, endpoint=unreliable.url, mapping=given_up_at_once)
    recovery = Recovering(stack, ground, flow, tmp_path, {"AETHERSTREAM_PIPELINE": PIPELINE})
    with flow, recovery:
        flow.drain()
        assert (searching.found("dead"), ground.ids(), len(ground.dead())) == (put, [], 1)
        unreliable.obey()
        [done] = recovery.lines("dlq", "redrive", "--all", "--yes")
        assert (done["state"], done["report"]["passed"]) == ("redriven", 20)
        assert (searching.found("dead"), sorted(ground.ids())) == (put, put)
        [again] = recovery.lines("dlq", "redrive", ground.dead()[0], "--yes")
        assert (again["state"], again["report"]["passed"]) == ("redriven", 0)
    assert (searching.found("dead"), sorted(ground.ids()), ground.quarantined()) == (put, put, [])


def test_an_index_that_was_lost_is_filled_again_from_the_archive(searching: Searching, commands: Commands) -> None:
    put = ids(searching.ground.put_keyed(events("lost", 5, 300)))
    searching.stack.drain(60)
    assert searching.found("lost") == put
    before = {written.key: written.metadata for written in searching.ground.objects("archive")}
    searching.client.indices.delete(index="drill-2026.05")
    with pytest.raises(NotFoundError):
        searching.client.indices.get(index="drill-2026.05")

    replay = ("replay", "--from", "1h", "--archive", "archive", "--into", "search")
    tried = only(commands.lines(*replay, "--dry-run"))
    assert (tried["dry_run"], searching.found("lost")) == (True, [])
    done = only(commands.lines(*replay))
    assert (done["sinks"], done["rejected"]) == (tried["sinks"], {})
    assert searching.found("lost") == put
    mapped = searching.client.indices.get_mapping(index="drill-2026.05")["drill-2026.05"]["mappings"]["properties"]
    assert mapped["weight"] == {"type": "double"}
    assert {written.key: written.metadata for written in searching.ground.objects("archive")} == before
    total = searching.client.count(index=INDICES)["count"]
    assert only(commands.lines(*replay))["sinks"] == done["sinks"]
    assert (searching.found("lost"), searching.client.count(index=INDICES)["count"]) == (put, total)


def test_what_a_sink_wants_is_shown_and_is_what_the_cluster_has(
    searching: Searching, project: Path, tmp_path: Path
) -> None:
    searching.stack.drain(60)
    commands = Commands("aetherstream-outage", project, searching.stack.environment)
    shown = commands.run("opensearch", "show", PIPELINE)
    head, request, body = shown.split("\n", 2)
    assert (head, request) == (f"# search, at {searching.server.url}", "PUT /_index_template/drill-search")
    [live] = searching.client.indices.get_index_template(name="drill-search")["index_templates"]
    assert json.loads(body)["index_patterns"] == live["index_template"]["index_patterns"]
    assert only(commands.lines("opensearch", "setup", PIPELINE, "--exit-code"))["differences"] == []


# The last one, because the schedule's minute is over by then.
def test_a_cluster_killed_in_mid_run_and_started_again_holds_every_event_once(
    searching: Searching, commands: Commands
) -> None:
    ground, before = searching.ground, searching.share()
    quarantined = ground.quarantined()
    killed = threading.Event()
    put: list[tuple[str, str]] = []

    def produce() -> None:
        """Until the cluster is killed, and for a while after it."""
        more = 10
        while more:
            put.extend(ground.put_keyed(events("outage", 1, CHUNK, len(put))))
            more -= killed.wait(0.2)

    sender = threading.Thread(target=produce)
    sender.start()
    try:
        until(lambda: searching.share()["delivered"] > before["delivered"], "a batch is delivered")
        searching.server.kill()
    finally:
        killed.set()
        sender.join()
    searching.stack.drain(120)

    # Nothing of the archive waits for the cluster.
    assert searching.archived("outage") == ids(put)
    assert ground.dead() == []
    shown = only(commands.lines("breaker", "show"))
    share = {name: count - before[name] for name, count in searching.share().items()}
    assert (shown["sink"], shown["state"], shown["held"], shown["by"]) == ("search", "open", False, "stream")
    assert "Connection refused" in shown["why"]
    assert shown["documents"] == len(searching.waiting()) == share["spilled"] > 0
    assert share["events"] == share["delivered"] + share["spilled"] == len(put)
    assert (share["delivered"] > 0, share["quarantined"]) == (True, 0)

    tried = only(commands.lines("breaker", "drain", "--now"))
    assert (tried["state"], tried["drained"], tried["objects"]) == ("open", 0, shown["objects"])
    assert tried["stopped"].startswith("a probe of 100 documents failed: ")

    searching.server.start()
    searching.schedule("ENABLED")
    until(lambda: searching.breaker().state == "closed", "the schedule's drain has closed the breaker", 180)
    searching.schedule("DISABLED")
    assert searching.breaker().by == "drain"
    assert searching.found("outage") == ids(put)
    assert searching.waiting() == []
    assert ground.quarantined() == quarantined

    shown = only(commands.lines("breaker", "show"))
    assert (shown["state"], shown["objects"], shown["why"]) == (
        "closed",
        0,
        "the spill is drained, and the sink answers",
    )
    after = searching.share()
    searching.renew()
    put += ground.put_keyed(events("outage", 1, CHUNK, len(put)))
    searching.stack.drain(60)
    assert searching.found("outage") == searching.archived("outage") == ids(put)
    assert searching.share() == {
        **after,
        "events": after["events"] + CHUNK,
        "delivered": after["delivered"] + CHUNK,
    }
