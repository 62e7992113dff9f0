from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.by_hand import ByHand
from aetherstream.objects import key_by_bytes
from aetherstream.testing.stores import MemoryObjects
from aetherstream.warehouse.ddl import Change, Differences, Refusal
from tests.loader.tables import AT, Queue, Table, failed, key, loaded, location, stage, target

HEAD = {"sink": "warehouse", "table": "public.flights", "warehouse": "wh.example:5439/dev"}
ADD = Change("add column origin char(3)", 'ALTER TABLE "public"."flights" ADD COLUMN "origin" CHAR(3)')
REFUSAL = Refusal("origin", "is integer in the table, not char(3)", "write the table's type into the contract")


class World:
    """One table, its queue and its staged objects."""

    def __init__(self) -> None:
        self.table = Table()
        self.queue = Queue()
        self.objects = MemoryObjects()
        self.target = target()
        self.seconds = 900.0
        self.bounds: dict[str, Any] = {}
        """Smaller ones than the loader's, where a test needs them."""

    def answer(self, do: str, **request: Any) -> dict[str, Any]:
        made = ByHand("flights", [(self.target, self.table)], reader=self.objects, queue=self.queue, **self.bounds)
        return made.answer({"do": do, **request}, lambda: self.seconds)

    def sink(self, do: str, **request: Any) -> dict[str, Any]:
        """What the only sink answers."""
        answer = self.answer(do, **request)
        assert answer["state"] == "done", answer
        [sink] = answer["sinks"]
        return dict(sink)


@pytest.fixture
def world() -> World:
    return World()


def ledger(*entries: Any) -> dict[str, Any]:
    return {entry.location: entry for entry in entries}


def test_show_tells_ledger_table_and_queue(world: World) -> None:
    world.table.ledger = ledger(
        loaded("data/a", rows=10), loaded("data/b", rows=5, at=AT + 60), failed("data/c", at=AT + 90)
    )
    world.table.lacks = Differences([ADD], notes=["spare is in the table alone and is left as it is"])
    assert world.answer("show") == {
        "state": "done",
        "sinks": [
            {
                **HEAD,
                "staging": "s3://data/staging/warehouse/",
                "mode": "append",
                "through": "connection",
                "loaded": 2,
                "rows": 15,
                "set_aside": 1,
                "last": "2025-11-21T10:01:00Z",
                "changes": [{"text": ADD.text, "statement": ADD.statement, "alone": False}],
                "refusals": [],
                "notes": ["spare is in the table alone and is left as it is"],
            }
        ],
        "queue": {"waiting": 0, "taken": 0, "delayed": 0, "dead": 0},
    }


def test_show_tells_what_it_can_where_the_warehouse_does_not_answer(world: World) -> None:
    world.table.error = Retryable("wh.example:5439: connection refused")
    world.queue.announced = ["data/a"]
    answer = world.answer("show")
    assert answer["queue"]["waiting"] == 1
    assert answer["sinks"] == [
        {
            **HEAD,
            "staging": "s3://data/staging/warehouse/",
            "mode": "append",
            "through": "connection",
            "trouble": "wh.example:5439: connection refused",
        }
    ]


def test_show_tells_what_the_ledger_says_where_the_table_can_not_be_looked_at(world: World) -> None:
    world.table.ledger = ledger(loaded("data/a"))
    world.table.held_up = Retryable("statement timeout")
    told = world.sink("show")
    assert (told["loaded"], told["trouble"], "changes" in told) == (1, "statement timeout", False)


def test_show_tells_of_a_queue_that_does_not_answer(world: World) -> None:
    world.queue.error = Retryable("throttled")
    answer = world.answer("show")
    assert (answer["queue"], answer["sinks"][0]["loaded"]) == ({"trouble": "throttled"}, 0)


def test_apply_makes_the_changes_and_plan_finds_none_afterwards(world: World) -> None:
    world.table.lacks = Differences([ADD])
    assert world.sink("plan")["changes"][0]["text"] == ADD.text
    applied = world.sink("apply")
    assert (applied["done"], applied["changes"][0]["text"]) == ([ADD.text], ADD.text)
    assert world.sink("plan") == {**HEAD, "changes": [], "refusals": [], "notes": []}


def test_apply_does_nothing_while_something_is_refused(world: World) -> None:
    world.table.lacks = Differences([ADD], [REFUSAL])
    applied = world.sink("apply")
    assert (applied["done"], applied["refusals"]) == (
        [],
        [{"column": "origin", "reason": REFUSAL.reason, "way_out": REFUSAL.way_out}],
    )
    assert world.table.lacks == Differences([ADD], [REFUSAL])


def test_missing_rights_are_told_by_their_sink(world: World) -> None:
    world.table.error = ConfigurationError("permission denied for schema public")
    assert world.sink("apply") == {
        **HEAD,
        "changes": [],
        "refusals": [],
        "notes": [],
        "done": [],
        "trouble": "permission denied for schema public",
    }


def test_failures_are_told_with_redshifts_words(world: World) -> None:
    world.table.ledger = ledger(loaded("data/a"), failed("data/b"))
    assert world.sink("failures") == {
        **HEAD,
        "failures": [
            {
                "object": "data/b",
                "etag": "etag",
                "load": "load-2",
                "at": "2025-11-21T10:00:00Z",
                "error": "line 3, column origin (char): too long",
            }
        ],
        "more": 0,
    }


def test_more_failures_than_an_answer_holds_are_counted(world: World) -> None:
    world.bounds = {"most_told": 2}
    world.table.ledger = ledger(*(failed(f"data/{number}") for number in range(5)))
    told = world.sink("failures")
    assert ([each["object"] for each in told["failures"]], told["more"]) == (["data/0", "data/1"], 3)


def test_retry_forgets_an_object_and_announces_it(world: World) -> None:
    world.table.ledger = ledger(failed(location("a")), failed(location("b")))
    assert world.sink("retry", objects=[f"s3://{location('a')}"]) == {**HEAD, "announced": 1}
    assert (list(world.table.ledger), world.queue.announced) == ([location("b")], [location("a")])


def test_retry_of_all_leaves_what_is_loaded(world: World) -> None:
    world.table.ledger = ledger(failed(location("a")), loaded(location("b")), failed(location("c")))
    assert world.sink("retry", all=True)["announced"] == 2
    assert (list(world.table.ledger), world.queue.announced) == ([location("b")], [location("a"), location("c")])


def test_retry_of_what_is_not_set_aside_changes_nothing(world: World) -> None:
    world.table.ledger = ledger(failed(location("a")), loaded(location("b")))
    assert world.answer("retry", objects=[location("a"), location("b")]) == {
        "state": "failed",
        "message": f"s3://{location('b')}: not set aside; `aetherstream redshift failures` shows what is, and "
        "`aetherstream redshift backfill` announces what the ledger does not know",
    }
    assert (len(world.table.ledger), world.queue.announced) == (2, [])


def test_retry_wants_to_know_what(world: World) -> None:
    for request in ({}, {"all": True, "objects": ["data/a"]}):
        assert world.answer("retry", **request) == {
            "state": "failed",
            "message": "say which objects, or all of them",
        }


def test_a_retry_that_could_not_announce_says_what_does(world: World) -> None:
    world.table.ledger = ledger(failed(location("a")))
    stage(world.objects, "a")
    world.queue.error = Retryable("throttled")
    assert world.sink("retry", all=True)["trouble"] == (
        "throttled; objects that are not set aside any more may not be announced: "
        "`aetherstream redshift backfill` does that"
    )
    world.queue.error = None
    assert world.sink("backfill")["announced"] == 1
    assert world.queue.announced == [location("a")]


def test_backfill_announces_what_the_ledger_does_not_know(world: World) -> None:
    stage(world.objects, "a", "b", "c", "d")
    stage(world.objects, "emptied", body=b"x" * 25)
    world.objects.put("data", "staging/warehouse/notes.txt", b"x" * 100, {}, if_match=None)
    world.objects.put("data", "staging/warehouse.manifests/shard-0001-000001.ndjson.gz", b"x" * 100, {}, if_match=None)
    world.table.ledger = ledger(loaded(location("a")), failed(location("b")))
    assert world.sink("backfill") == {
        **HEAD,
        "staged": 4,
        "emptied": 1,
        "others": 1,
        "loaded": 1,
        "set_aside": 1,
        "missing": 2,
        "names": [location("c"), location("d")],
        "announced": 2,
        "after": None,
    }
    assert world.queue.announced == [location("c"), location("d")]


def test_a_backfill_of_results_announces_objects_that_are_named_by_their_bytes(world: World) -> None:
    world.target = replace(target(), sink="aggregates.hours.to.warehouse", final_at_once=True)
    keys = sorted(key_by_bytes(world.target.staging, body) for body in (b"1", b"2"))
    for each in keys:
        world.objects.put("data", each, b"x" * 100, {}, if_match=None)
    stage(world.objects, "of-a-shard")
    world.table.ledger = ledger(loaded(f"data/{keys[0]}"))
    told = world.sink("backfill", sink="aggregates.hours.to.warehouse")
    assert {name: told[name] for name in ("staged", "others", "loaded", "missing", "announced")} == {
        "staged": 2,
        "others": 1,
        "loaded": 1,
        "missing": 1,
        "announced": 1,
    }
    assert world.queue.announced == [f"data/{keys[1]}"]


def test_a_dry_backfill_announces_nothing(world: World) -> None:
    stage(world.objects, "a")
    told = world.sink("backfill", dry_run=True)
    assert (told["missing"], told["announced"], world.queue.announced) == (1, 0, [])


def test_a_backfill_whose_time_is_over_goes_on_where_it_stopped(world: World) -> None:
    world.bounds = {"chunk": 2}
    stage(world.objects, "a", "b", "c")
    world.seconds = 10.0
    first = world.sink("backfill")
    assert (first["staged"], first["after"], world.queue.announced) == (
        2,
        key("b"),
        [location("a"), location("b")],
    )
    second = world.sink("backfill", sink="warehouse", after=first["after"])
    assert (second["staged"], world.queue.announced) == (1, [location("a"), location("b"), location("c")])


def test_a_stack_that_runs_dry_changes_nothing(world: World) -> None:
    function = ByHand("flights", [(target(), world.table)], reader=world.objects, queue=world.queue, dry_run=True)
    for request in ({"do": "apply"}, {"do": "retry", "all": True}, {"do": "backfill"}):
        assert function.answer(request, lambda: 900.0) == {
            "state": "failed",
            "message": "the stack runs dry: it changes nothing",
        }
    assert function.answer({"do": "backfill", "dry_run": True}, lambda: 900.0)["state"] == "done"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"do": "stop"}, "the loader function does not know what 'stop' is"),
        (
            {"do": "show", "sink": "archive"},
            "the pipeline flights has no Redshift sink archive that is on; those that are: warehouse",
        ),
    ],
)
def test_what_can_not_be_meant_is_answered(request_: dict[str, Any], says: str, world: World) -> None:
    made = ByHand("flights", [(target(), world.table)], reader=world.objects, queue=world.queue)
    assert made.answer(request_, lambda: 900.0) == {"state": "failed", "message": says}


def test_each_sink_answers_for_itself(world: World) -> None:
    down = Table(error=Retryable("down"))
    sinks = [(target(), world.table), (target("second", "delays"), down)]
    made = ByHand("flights", sinks, reader=world.objects, queue=world.queue)
    answer = made.answer({"do": "failures"}, lambda: 900.0)
    assert [(told["sink"], told["table"], told.get("trouble")) for told in answer["sinks"]] == [
        ("warehouse", "public.flights", None),
        ("second", "public.delays", "down"),
    ]
