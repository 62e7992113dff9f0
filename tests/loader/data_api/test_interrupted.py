"""Loads through the Data API that outlast the function, break, or meet others. Each row once, whatever happens."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.parts import CopyFailed, Staged
from aetherstream.local.redshift.data_api import LocalDataApi
from tests.data_api_fixture import client_of
from tests.loader.data_api.bench import Crash, DataBench, Patient, Refusing, Steps, held, soon
from tests.loader.sql_bench import SECONDS, event, summary
from tests.warehouse.contracts import upserting

pytestmark = pytest.mark.integration


# -- Loads that take longer than a call --------------------------------------------------------------------------------


def test_a_load_that_outlasts_the_call_goes_on_and_is_told_by_the_next_one(bench: DataBench) -> None:
    warehouse = bench.made(patience=0.0)
    staged = bench.stage([event(1), event(2)], name="a")
    with held(bench):
        first = warehouse.load(bench.load(staged, id="long"), SECONDS)
        again = bench.through(patience=0.0).load(bench.load(staged, id="later"), SECONDS)
    assert "the load long runs in the warehouse since 20" in first.waiting
    assert (summary(first), first.waiting) == (summary(again), again.waiting)
    assert bench.settled() == "FINISHED"
    # Another process, which was told of it by the memory alone.
    assert summary(bench.through().load(bench.load(staged), SECONDS)) == (["a"], [], 2)
    assert (bench.ids(), bench.submitted("long"), bench.submitted("later")) == (["s:1:0", "s:2:0"], 1, 0)


def test_other_objects_wait_for_the_load_that_runs_and_are_loaded_then(bench: DataBench) -> None:
    warehouse = bench.made(patience=0.0)
    first, second = bench.stage([event(1)], name="a"), bench.stage([event(2)], name="b")
    with held(bench):
        warehouse.load(bench.load(first), SECONDS)
        assert "runs in the warehouse" in warehouse.load(bench.load(second), SECONDS).waiting
    bench.settled()
    # It tells of its own objects alone; those of the load before are known to whoever asks for them.
    assert summary(bench.through().load(bench.load(second), SECONDS)) == (["b"], [], 1)
    assert summary(bench.through().load(bench.load(first), SECONDS)) == ([], ["a"], 0)


def test_what_a_call_began_is_not_cancelled_at_its_end(bench: DataBench) -> None:
    warehouse = bench.made()
    staged = bench.stage([event(1)], name="a")
    with held(bench):
        assert "runs in the warehouse" in warehouse.load(bench.load(staged), 0.5).waiting
    assert bench.settled() == "FINISHED"
    assert bench.ids() == ["s:1:0"]


def test_a_question_that_takes_too_long_is_cancelled(bench: DataBench) -> None:
    warehouse = bench.made()
    bad = bench.stage([event(1)])
    with held(bench):
        with pytest.raises(Retryable, match="did not answer in time"):
            warehouse.set_aside({bad: "bad"}, "x", 0.5)
        aborted = bench.client.list_statements(Status="ABORTED")["Statements"]
    assert (len(aborted), warehouse.failures(SECONDS)) == (1, [])


def test_a_load_that_somebody_has_cancelled_is_made_again(bench: DataBench) -> None:
    warehouse = bench.made(patience=0.0)
    staged = bench.stage([event(1)], name="a")
    with held(bench):
        warehouse.load(bench.load(staged), SECONDS)
        running = bench.memory.running
        assert running is not None
        bench.client.cancel_statement(Id=running.statement)
        assert bench.settled() in ("ABORTED", "FAILED")
        with pytest.raises(Retryable, match="cancel"):
            warehouse.load(bench.load(staged), SECONDS)
    assert summary(bench.through().load(bench.load(staged), SECONDS)) == (["a"], [], 1)


def test_a_load_whose_session_was_ended_is_made_again(bench: DataBench) -> None:
    warehouse = bench.made(patience=0.0)
    staged = bench.stage([event(1)], name="a")
    with held(bench):
        warehouse.load(bench.load(staged), SECONDS)
        running = bench.memory.running
        assert running is not None
        pid = 0
        while not pid:
            pid = bench.client.describe_statement(Id=running.statement)["RedshiftPid"]
        bench.run(f"SELECT pg_terminate_backend({pid})")
        assert bench.settled() == "FAILED"
    with pytest.raises(Retryable):
        warehouse.load(bench.load(staged), SECONDS)
    assert summary(bench.through().load(bench.load(staged), SECONDS)) == (["a"], [], 1)


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_a_statement_that_the_data_api_has_forgotten_is_settled_by_the_ledger(bench: DataBench, done: bool) -> None:
    """AWS: statements are kept for 24 hours."""
    warehouse = bench.made(patience=0.0)
    staged = bench.stage([event(1)], name="a")
    with held(bench):
        warehouse.load(bench.load(staged), SECONDS)
        if not done:
            bench.api.stop()
    if done:
        bench.settled()
        bench.api.stop()
    bench.api.start()
    assert summary(bench.through().load(bench.load(staged), SECONDS)) == (["a"], [], 1)
    assert (bench.ids(), bench.entries()) == (["s:1:0"], 1)


# -- Processes that end, and answers that are lost ---------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_process_that_ends_at_any_step_leaves_a_load_that_the_next_one_settles(bench: DataBench, after: bool) -> None:
    contract = upserting(schema=bench.schema)
    healthy = bench.made(contract)
    target = bench.target(contract)
    number, fired, names = 0, True, set()
    while fired:
        number += 1
        staged = bench.stage([event(2 * number, f"{number}"), event(2 * number + 1, f"{number}", 2)], contract)
        steps = Steps(number, after=after)
        broken = bench.through(target, steps.client(Patient(bench.client)), memories=steps.memories(bench.memories))
        load = bench.load(staged)
        try:
            broken.load(load, SECONDS)
        except Crash as crash:
            names.add(str(crash))
        fired = steps.fired
        again = healthy.load(bench.load(staged), SECONDS)
        assert again.fresh | again.known.keys() == {staged.location}
        assert (bench.entries(), bench.submitted(load.id) <= 1, bench.memory.running) == (number, True, None)
    assert bench.ids() == sorted(f"s:{2 * each + 1}:0" for each in range(1, number + 1))
    assert names == {
        *("read", "write", "batch_execute_statement", "execute_statement", "describe_statement"),
        "get_statement_result",
    }


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_answer_that_is_lost_at_any_step_leaves_each_row_once(bench: DataBench, after: bool) -> None:
    healthy = bench.made()
    number, fired = 0, True
    while fired:
        number += 1
        staged = bench.stage([event(number)])
        steps = Steps(number, after=after, lost=True)
        broken = bench.through(client=steps.client(Patient(bench.client)))
        load = bench.load(staged)
        try:
            broken.load(load, SECONDS)
        except Retryable:
            assert steps.fired
        fired = steps.fired
        again = healthy.load(bench.load(staged), SECONDS)
        assert again.fresh | again.known.keys() == {staged.location}
        assert (bench.entries(), bench.submitted(load.id) <= 1) == (number, True)
    assert number > 8


def test_a_submission_that_nobody_answered_is_found_again_by_its_token(bench: DataBench) -> None:
    bench.made()
    staged = bench.stage([event(1)], name="a")
    batches = Steps(2, after=True, lost=True)

    class Client:
        def __getattr__(self, name: str) -> object:
            return getattr(batches.client(bench.client) if name == "batch_execute_statement" else bench.client, name)

    batches.count = 1
    with pytest.raises(Retryable):
        bench.through(client=Client()).load(bench.load(staged, id="once"), SECONDS)
    running = bench.memory.running
    assert running is not None
    assert running.statement == ""
    assert summary(bench.through().load(bench.load(staged, id="again"), SECONDS)) == (["a"], [], 1)
    assert (bench.submitted("once"), bench.submitted("again")) == (1, 0)


def test_a_token_that_the_data_api_has_forgotten_loads_nothing_twice(bench: DataBench) -> None:
    bench.made()
    staged, other = bench.stage([event(1)], name="a"), bench.stage([event(2)], name="b")
    with pytest.raises(Crash):
        bench.through(memories=Steps(3, after=False).memories(bench.memories)).load(bench.load(staged), SECONDS)
    running = bench.memory.running
    assert running is not None
    assert running.statement == ""
    told = bench.client.list_statements(StatementName=running.load, Status="ALL")["Statements"]
    while bench.client.describe_statement(Id=told[0]["Id"], WaitTimeSeconds=30)["Status"] != "FINISHED":
        pass
    bench.api.stop()
    bench.api.start()
    assert summary(bench.through().load(bench.load(staged, other), SECONDS)) == (["b"], ["a"], 1)
    assert (bench.ids(), bench.entries(), bench.submitted(running.load)) == (["s:1:0", "s:2:0"], 2, 1)


def test_a_new_version_of_the_pipeline_ends_what_an_older_one_was_going_to_submit(bench: DataBench) -> None:
    bench.made()
    staged = bench.stage([event(1)], name="a")
    with pytest.raises(Crash):
        bench.through(memories=Steps(3, after=False).memories(bench.memories)).load(bench.load(staged), SECONDS)
    role = "arn:aws:iam::123456789012:role/another"
    newer = bench.through(replace(bench.target(), copy_role=role))
    found = newer.load(bench.load(staged), SECONDS)
    assert ({*found.fresh, *found.known}, bench.entries()) == ({staged.location}, 1)


def test_a_memory_whose_answers_are_lost_leaves_each_row_once(bench: DataBench) -> None:
    bench.made()
    staged = bench.stage([event(1)], name="a")
    bench.memories.loses_answers = True
    for _ in range(3):
        with pytest.raises(Retryable, match="the answer was lost"):
            bench.through().load(bench.load(staged), SECONDS)
    bench.memories.loses_answers = False
    found = bench.through().load(bench.load(staged), SECONDS)
    assert ({*found.fresh, *found.known}, bench.entries()) == ({staged.location}, 1)


# -- The Data API refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["ThrottlingException", "ActiveStatementsExceededException"])
def test_a_submission_that_was_refused_for_now_is_not_remembered(bench: DataBench, code: str) -> None:
    bench.made()
    staged = bench.stage([event(1)], name="a")
    warehouse = bench.through(client=Refusing(bench.client, code))
    with pytest.raises(Retryable, match=code):
        warehouse.load(bench.load(staged), SECONDS)
    assert bench.memory.running is None
    assert summary(warehouse.load(bench.load(staged), SECONDS)) == (["a"], [], 1)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
def test_a_submission_that_is_refused_for_good_says_where_to_look(bench: DataBench, code: str) -> None:
    bench.made()
    warehouse = bench.through(client=Refusing(bench.client, code))
    with pytest.raises(ConfigurationError, match="redshift-data:ExecuteStatement"):
        warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)
    assert bench.memory.running is None


def test_a_data_api_that_has_no_room_is_asked_again_later(bench: DataBench) -> None:
    bench.made()
    staged = bench.stage([event(1)], name="a")
    with LocalDataApi(bench.server, active=0) as full, pytest.raises(Retryable, match="ActiveStatementsExceeded"):
        bench.through(client=client_of(full)).load(bench.load(staged), SECONDS)
    assert summary(bench.through().load(bench.load(staged), SECONDS)) == (["a"], [], 1)


# -- Several at once ---------------------------------------------------------------------------------------------------


def test_loads_at_once_of_the_same_objects_bring_each_row_once(bench: DataBench) -> None:
    bench.made()
    staged = [bench.stage([event(number)]) for number in range(1, 9)]
    start = threading.Barrier(4)

    def work(first: int) -> list[str]:
        warehouse = bench.through(client=client_of(bench.api))
        start.wait()
        fresh: list[str] = []
        for part in (staged[first : first + 3], staged[first + 1 : first + 5]):
            while (found := warehouse.load(bench.load(*part), SECONDS)).waiting:
                fresh += found.fresh
            fresh += found.fresh
        return fresh

    with ThreadPoolExecutor(4) as pool:
        told = [where for fresh in pool.map(work, range(4)) for where in fresh]
    assert len(told) == len(set(told))
    assert bench.ids() == sorted(f"s:{number}:0" for number in range(1, 9))
    assert bench.entries() == 8


def test_a_batch_that_is_submitted_beside_the_memory_loads_nothing_twice(bench: DataBench) -> None:
    """Two processes, each with a memory of its own: nothing rests on there being one."""
    bench.made()
    staged = bench.stage([event(1)], name="a")
    other = DataBench(bench.server, bench.objects, bench.schema, bench.api)
    with held(bench):
        bench.through(patience=0.0).load(bench.load(staged), SECONDS)
        other.through(patience=0.0).load(bench.load(staged), SECONDS)
    assert sorted([bench.settled(), other.settled()]) == ["FAILED", "FINISHED"]
    found = [each.through().load(bench.load(staged), SECONDS) for each in (bench, other)]
    assert sorted(map(summary, found)) == [([], ["a"], 0), (["a"], [], 1)]
    assert (bench.ids(), bench.entries()) == (["s:1:0"], 1)


# -- Loads that fail without a word on who is at fault -----------------------------------------------------------------


def mismatched(bench: DataBench, number: int) -> Staged:
    """An object with fewer rows than its metadata say."""
    return replace(bench.stage([event(number)], name=f"m{number:02}"), rows=2)


def accused(bench: DataBench, *staged: Staged) -> list[str]:
    """Load until objects are said to be at fault; which."""
    while True:
        try:
            bench.through(sleep=soon).load(bench.load(*staged), SECONDS)
        except CopyFailed as error:
            return [detail.location for detail in error.details]


def test_the_object_at_fault_is_found_by_smaller_loads(bench: DataBench) -> None:
    warehouse = bench.made()
    good = [bench.stage([event(number)], name=f"a{number:02}") for number in range(12)]
    bad = mismatched(bench, 50)
    assert accused(bench, *good, bad) == [bad.location]
    assert warehouse.known([each.location for each in good], SECONDS).keys() == {each.location for each in good}
    assert bench.ids() == sorted(f"s:{number}:0" for number in range(12))


def test_smaller_loads_become_larger_again(bench: DataBench) -> None:
    warehouse = bench.made()
    bad = mismatched(bench, 50)
    good = [bench.stage([event(number)], name=f"z{number:02}") for number in range(20)]
    accused(bench, bad, *good)
    warehouse.set_aside({bad: "bad"}, "x", SECONDS)
    before = bench.memory.most
    for number in range(20, 26):
        warehouse.load(bench.load(bench.stage([event(number)])), SECONDS)
    assert (before > 0, bench.memory.most, bench.memory.faults) == (True, before * 64 if before * 64 < 500 else 0, {})


def test_an_object_that_fails_alone_is_not_accused_while_nothing_else_loads(bench: DataBench) -> None:
    """The world may be at fault: a role, a Region, a network."""
    warehouse = bench.made(sleep=soon)
    bad = [mismatched(bench, number) for number in range(3)]
    for _ in range(3):
        with pytest.raises(Retryable, match="another number of rows"):
            warehouse.load(bench.load(*bad), SECONDS)
    good = bench.stage([event(9)], name="z")
    found = accused(bench, *bad, good)
    assert (set(found) <= {each.location for each in bad}, bench.ids()) == (True, ["s:9:0"])


def test_an_object_that_failed_alone_is_loaded_when_the_world_works_again(bench: DataBench) -> None:
    warehouse = bench.made(sleep=soon)
    bad = mismatched(bench, 1)
    with pytest.raises(Retryable):
        warehouse.load(bench.load(bad), SECONDS)
    assert summary(warehouse.load(bench.load(replace(bad, rows=1)), SECONDS)) == (["m01"], [], 1)
    assert bench.memory.faults == {}
