import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.sinks.base import Answer, Documents, Outcome
from aetherstream.sinks.opensearch.sink import OpenSearchSink
from aetherstream.sinks.opensearch.wire import Response, Unreachable
from tests.sinks.opensearch.fakes import (
    QUICK,
    REFUSED,
    Clock,
    Cluster,
    Failure,
    busy,
    documents,
    error,
    refusal,
    sink,
    stored,
    times,
)

IDS = ["s:1:0", "s:2:0", "s:3:0"]


def test_every_document_is_sent_once() -> None:
    cluster = Cluster()
    assert sink(cluster).deliver(documents(*IDS), 60.0) == Outcome(answers=[Answer(3, 0)])
    assert (stored(cluster), cluster.requests, cluster.begun) == (IDS, [IDS], 1)


def test_nothing_is_asked_for_nothing() -> None:
    cluster = Cluster()
    assert sink(cluster).deliver(Documents(), 60.0) == Outcome()
    assert (cluster.requests, cluster.begun) == ([], 0)


def test_a_document_that_stands_is_delivered() -> None:
    cluster = Cluster()
    sink(cluster).deliver(documents(*IDS), 60.0)
    assert sink(cluster).deliver(documents(*IDS), 60.0) == Outcome(answers=[Answer(3, 0)])


def test_only_the_items_that_failed_are_sent_again() -> None:
    cluster, clock = Cluster(), Clock()
    cluster.item = busy("s:2:0", 2, error(429, "rejected_execution_exception"))
    outcome = sink(cluster, clock, retries=QUICK).deliver(documents(*IDS), 60.0)
    assert (outcome.rejected, outcome.undelivered, sorted(stored(cluster))) == ({}, {}, IDS)
    assert cluster.requests == [IDS, ["s:2:0"], ["s:2:0"]]
    # The share of the whole that failed: one document that is put off is no cluster that takes nothing.
    assert [(answer.documents, answer.failed) for answer in outcome.answers] == [(3, 1), (3, 1), (3, 0)]


def test_pauses_grow_up_to_a_bound() -> None:
    cluster, clock = Cluster(), Clock()
    cluster.wrong = times(9, REFUSED)
    retries = type(QUICK)(fruitless=10, first=1.0, longest=4.0)
    assert sink(cluster, clock, retries=retries).deliver(documents("x"), 60.0).undelivered == {}
    assert clock.slept == [1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]


def test_pauses_are_scattered() -> None:
    assert [QUICK.pause(2, random) for random in (0.0, 0.5, 1.0)] == [1.0, 1.5, 2.0]


@pytest.mark.parametrize(
    "failure",
    [
        REFUSED,
        refusal(429, "rejected_execution_exception"),
        refusal(502),
        refusal(503),
        refusal(504),
        Response(200, '{"errors":false,"items":[{}'),
        Response(200, '{"errors":false,"items":[]}'),
    ],
)
def test_a_request_that_failed_as_a_whole_is_sent_again(failure: Failure) -> None:
    cluster = Cluster()
    cluster.wrong = times(2, failure)
    outcome = sink(cluster, retries=QUICK).deliver(documents(*IDS), 60.0)
    assert (outcome.rejected, outcome.undelivered, stored(cluster)) == ({}, {}, IDS)
    assert [(answer.documents, answer.failed) for answer in outcome.answers] == [(3, 3), (3, 3), (3, 0)]


def test_fruitless_attempts_end() -> None:
    cluster = Cluster()
    cluster.wrong = lambda _: REFUSED
    outcome = sink(cluster, retries=QUICK).deliver(documents(*IDS), 60.0)
    assert outcome == Outcome(
        undelivered=dict.fromkeys(IDS, "connection refused"), answers=[Answer(3, 3, "connection refused")] * 3
    )


def test_attempts_that_bring_something_on_its_way_do_not_count_as_fruitless() -> None:
    cluster = Cluster()
    ids = [f"s:{n}:0" for n in range(6)]
    taken: list[str] = []

    def one_at_a_time(document_id: str) -> dict[str, object] | None:
        first = cluster.requests[-1][0] == document_id
        taken.extend([document_id] if first else [])
        return None if first else error(429, "rejected_execution_exception")

    cluster.item = one_at_a_time
    assert sink(cluster, retries=QUICK).deliver(documents(*ids), 60.0).undelivered == {}
    assert taken == ids


def test_a_flood_stage_block_is_tried_less_often() -> None:
    cluster = Cluster()
    cluster.item = lambda _: error(429, "cluster_block_exception", "disk usage exceeded flood-stage watermark")
    outcome = sink(cluster, retries=QUICK).deliver(documents("x"), 60.0)
    assert len(cluster.requests) == QUICK.stuck
    assert outcome.undelivered == {
        "x": "OpenSearch answered 429: cluster_block_exception: disk usage exceeded flood-stage watermark"
    }


BROKEN = error(500, "null_pointer_exception", "Cannot invoke")


def test_a_document_that_alone_goes_on_failing_is_set_aside() -> None:
    cluster = Cluster()
    cluster.item = lambda name: BROKEN if name == "s:2:0" else None
    outcome = sink(cluster, retries=QUICK).deliver(documents(*IDS), 60.0)
    assert (outcome.undelivered, stored(cluster)) == ({}, ["s:1:0", "s:3:0"])
    assert {name: (why.reason, why.message) for name, why in outcome.rejected.items()} == {
        "s:2:0": (
            "null_pointer_exception",
            "OpenSearch answered 500: null_pointer_exception: Cannot invoke (3 times, while others arrived)",
        )
    }


def test_many_that_go_on_failing_are_no_bad_documents() -> None:
    cluster, ids = Cluster(), [f"s:{n}:0" for n in range(12)]
    cluster.item = lambda name: BROKEN if name in ids[:9] else None
    outcome = sink(cluster, retries=QUICK).deliver(documents(*ids), 60.0)
    assert (outcome.rejected, list(outcome.undelivered)) == ({}, ids[:9])


def test_a_document_that_fails_without_neighbours_is_left() -> None:
    cluster = Cluster()
    cluster.item = lambda _: BROKEN
    outcome = sink(cluster, retries=QUICK).deliver(documents("x"), 60.0)
    assert (outcome.rejected, list(outcome.undelivered)) == ({}, ["x"])


def test_there_may_be_no_end_to_the_time() -> None:
    cluster = Cluster()
    in_threads = OpenSearchSink("search", cluster)
    assert in_threads.deliver(documents(*IDS), float("inf")) == Outcome(answers=[Answer(3, 0)])


def test_no_pause_goes_beyond_the_time_that_is_left() -> None:
    cluster, clock = Cluster(), Clock()
    cluster.wrong = lambda _: REFUSED
    outcome = sink(cluster, clock, retries=QUICK).deliver(documents("x"), 2.5)
    assert (clock.slept, outcome.undelivered) == ([1.0], {"x": "connection refused"})


def test_a_request_is_given_the_time_that_is_left() -> None:
    cluster, clock = Cluster(), Clock()
    cluster.wrong = times(1, REFUSED)
    sink(cluster, clock, retries=QUICK).deliver(documents("x"), 10.0)
    assert cluster.seconds == [9.5, 8.5]


def test_without_time_nothing_is_sent() -> None:
    cluster = Cluster()
    assert sink(cluster).deliver(documents("x"), 0.0) == Outcome(undelivered={"x": "no time left"})
    assert cluster.requests == []


def test_a_refused_document_is_rejected_and_its_neighbours_arrive() -> None:
    cluster = Cluster()
    cluster.item = lambda each: error(400, "mapper_parsing_exception", "no") if each == "s:2:0" else None
    outcome = sink(cluster).deliver(documents(*IDS), 60.0)
    (refused,) = outcome.rejected.items()
    assert (refused[0], refused[1].reason, refused[1].message) == (
        "s:2:0",
        "mapper_parsing_exception",
        "OpenSearch answered 400: mapper_parsing_exception: no",
    )
    assert (outcome.undelivered, outcome.answers, stored(cluster)) == ({}, [Answer(3, 0)], ["s:1:0", "s:3:0"])


@pytest.mark.parametrize("failure", [refusal(401), refusal(403, "security_exception", "no rights")])
def test_a_refusal_for_rights_ends_the_delivery_and_says_so(failure: Response) -> None:
    cluster = Cluster()
    cluster.wrong = lambda _: failure
    outcome = sink(cluster, documents=1).deliver(documents(*IDS), 60.0)
    assert (len(cluster.requests), list(outcome.undelivered), outcome.rejected) == (1, IDS, {})
    assert outcome.answers == [Answer(1, 1, outcome.undelivered["s:1:0"], refused=True)]


def test_items_that_are_all_refused_for_rights_are_a_refusal_of_the_request() -> None:
    cluster = Cluster()
    cluster.item = lambda _: error(403, "security_exception", "no rights")
    outcome = sink(cluster).deliver(documents(*IDS), 60.0)
    assert outcome == Outcome(
        undelivered=dict.fromkeys(IDS, "OpenSearch answered 403: security_exception: no rights"),
        answers=[Answer(3, 3, "OpenSearch answered 403: security_exception: no rights", refused=True)],
    )


def test_one_item_that_is_refused_for_rights_is_set_aside_as_configuration() -> None:
    cluster = Cluster()
    cluster.item = lambda each: error(403, "cluster_block_exception") if each == "s:1:0" else None
    outcome = sink(cluster).deliver(documents(*IDS), 60.0)
    assert {each: why.reason for each, why in outcome.rejected.items()} == {
        "s:1:0": "configuration: cluster_block_exception"
    }
    assert stored(cluster) == ["s:2:0", "s:3:0"]


def test_a_closed_index_is_set_aside_as_configuration_even_alone() -> None:
    cluster = Cluster()
    cluster.item = lambda _: error(400, "index_closed_exception", "closed")
    outcome = sink(cluster).deliver(documents("x"), 60.0)
    assert {each: why.reason for each, why in outcome.rejected.items()} == {
        "x": "configuration: index_closed_exception"
    }
    assert (outcome.undelivered, outcome.answers) == ({}, [Answer(1, 0)])


def test_a_request_that_is_too_large_is_halved() -> None:
    cluster = Cluster()
    cluster.wrong = lambda ids: refusal(413) if len(ids) > 1 else None
    outcome = sink(cluster).deliver(documents(*IDS), 60.0)
    assert (outcome.rejected, outcome.undelivered, stored(cluster)) == ({}, {}, IDS)
    assert cluster.requests == [IDS, ["s:1:0"], ["s:2:0", "s:3:0"], ["s:2:0"], ["s:3:0"]]


def test_a_document_that_is_too_large_alone_is_rejected() -> None:
    cluster = Cluster()
    cluster.wrong = lambda ids: refusal(413) if "s:2:0" in ids else None
    outcome = sink(cluster).deliver(documents(*IDS), 60.0)
    assert {each: why.reason for each, why in outcome.rejected.items()} == {"s:2:0": "document is too large"}
    assert (outcome.undelivered, stored(cluster)) == ({}, ["s:1:0", "s:3:0"])


def test_what_makes_its_request_unreadable_is_found_and_rejected() -> None:
    cluster = Cluster()
    bad = refusal(400, "illegal_argument_exception", "Malformed action/metadata line")
    cluster.wrong = lambda ids: bad if "s:2:0" in ids else None
    outcome = sink(cluster).deliver(documents(*IDS), 60.0)
    assert {each: why.reason for each, why in outcome.rejected.items()} == {"s:2:0": "illegal_argument_exception"}
    assert (outcome.undelivered, stored(cluster)) == ({}, ["s:1:0", "s:3:0"])


def test_a_cluster_that_can_read_no_request_is_not_taken_for_bad_documents() -> None:
    cluster = Cluster()
    cluster.wrong = lambda _: refusal(400, "illegal_argument_exception", "request [/_bulk] contains unrecognized")
    ids = [f"s:{n}:0" for n in range(100)]
    outcome = sink(cluster).deliver(documents(*ids), 60.0)
    assert (len(outcome.rejected), len(outcome.undelivered)) == (8, 92)
    assert outcome.answers[-1].refused


def test_what_can_not_be_sent_is_rejected_before() -> None:
    cluster = Cluster()
    outcome = sink(cluster).deliver(documents("s:1:0", "x" * 600, "s:3:0", ""), 60.0)
    assert {each: why.reason for each, why in outcome.rejected.items()} == {
        "x" * 600: "id is too long",
        "": "id is empty",
    }
    assert cluster.requests == [["s:1:0", "s:3:0"]]


def test_an_upsert_that_meets_a_later_version_is_done() -> None:
    cluster = Cluster()
    cluster.item = lambda _: error(409, "version_conflict_engine_exception", "current version [9]")
    assert sink(cluster).upsert(documents("x"), [8], 60.0) == Outcome(answers=[Answer(1, 0)])


def test_upserts_keep_their_versions_when_some_are_sent_again() -> None:
    cluster = Cluster()
    cluster.item = busy("b", 1, error(503, "unavailable_shards_exception"))
    sink(cluster, retries=QUICK).upsert(documents("a", "b"), [8, 9], 60.0)
    assert cluster.bodies[1] == (
        b'{"index":{"_index":"flights-2013.01","_id":"b","version":9,"version_type":"external"}}\n{"id":"b"}\n'
    )


def test_the_cluster_is_prepared_before_the_first_write_and_warned_of_once() -> None:
    cluster, clock = Cluster(), Clock()
    prepared: list[tuple[float, int]] = []
    told: list[str] = []

    def prepare(seconds: float) -> list[str]:
        prepared.append((seconds, len(cluster.requests)))
        return ["index template differs"]

    subject = sink(cluster, clock, prepare=prepare, warn=told.append)
    for _ in range(2):
        subject.deliver(documents("x"), 10.0)
    assert (prepared, told) == ([(9.5, 0)], ["index template differs"])
    clock.now += 60
    subject.deliver(documents("x"), 10.0)
    assert (prepared, told) == ([(9.5, 0), (2.0, 2)], ["index template differs"])


@pytest.mark.parametrize("failure", [Unreachable("connection refused"), ConfigurationError("403")])
def test_a_cluster_that_was_prepared_is_written_to_where_it_can_not_be_looked_at_again(failure: Exception) -> None:
    cluster, clock = Cluster(), Clock()
    answers: list[Exception | None] = [None, failure, None]

    def prepare(seconds: float) -> list[str]:
        if (wrong := answers.pop(0)) is not None:
            raise wrong
        return []

    subject = sink(cluster, clock, prepare=prepare)
    for left in ([failure, None], [None], [], []):
        assert subject.deliver(documents("x"), 10.0) == Outcome(answers=[Answer(1, 0)])
        assert answers == left
        clock.now += 60 if left else 0


def test_a_cluster_that_can_not_be_prepared_leaves_the_documents_and_is_prepared_later() -> None:
    cluster = Cluster()
    answers: list[Exception | None] = [Unreachable("connection refused")] * QUICK.fruitless + [None]

    def prepare(seconds: float) -> list[str]:
        if (failure := answers.pop(0)) is not None:
            raise failure
        return []

    subject = sink(cluster, prepare=prepare, retries=QUICK)
    # As many answers as by requests: a cold process must not take longer to notice an outage than a warm one.
    assert subject.deliver(documents(*IDS), 60.0) == Outcome(
        undelivered=dict.fromkeys(IDS, "connection refused"), answers=[Answer(3, 3, "connection refused")] * 3
    )
    assert cluster.requests == []
    assert subject.deliver(documents(*IDS), 60.0) == Outcome(answers=[Answer(3, 0)])


def test_a_cluster_that_can_be_prepared_at_the_second_try_is_written_to() -> None:
    cluster = Cluster()
    answers: list[Exception | None] = [Unreachable("connection refused"), None]

    def prepare(seconds: float) -> list[str]:
        if (failure := answers.pop(0)) is not None:
            raise failure
        return []

    outcome = sink(cluster, prepare=prepare, retries=QUICK).deliver(documents(*IDS), 60.0)
    assert (outcome.undelivered, outcome.answers) == ({}, [Answer(3, 3, "connection refused"), Answer(3, 0)])


def test_a_cluster_that_can_not_hold_the_sink_is_a_refusal() -> None:
    def prepare(seconds: float) -> list[str]:
        raise ConfigurationError("type TIMESERIES")

    assert sink(Cluster(), prepare=prepare).deliver(documents("x"), 10.0).answers == [
        Answer(1, 1, "type TIMESERIES", refused=True)
    ]


def test_an_alias_is_required_where_the_place_is_one() -> None:
    cluster = Cluster()
    sink(cluster, require_alias=True).deliver(documents("x"), 10.0)
    assert cluster.paths == [
        "/_bulk?filter_path=errors%2Citems.%2A.status%2Citems.%2A.error&require_alias=true",
    ]
