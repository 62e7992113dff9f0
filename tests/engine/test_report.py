import pytest

from aetherstream.report import AccountingError, Report, SinkCount


def report(**changes: int) -> Report:
    counts = {"records_in": 10, "passed": 4, "quarantined": 2, "dropped": 1, "settled": 2, "left": 1, **changes}
    made = Report("shard", 10, "100", "190", **counts)  # type: ignore[arg-type]
    made.sinks = {"archive": SinkCount(events=5, delivered=4, quarantined=1)}
    return made


def test_a_balanced_report_passes() -> None:
    report().check()


@pytest.mark.parametrize("name", ["records_in", "passed", "quarantined", "dropped", "settled", "left"])
def test_any_count_that_is_off_is_found(name: str) -> None:
    made = report()
    setattr(made, name, getattr(made, name) + 1)
    with pytest.raises(AccountingError, match="records in, but"):
        made.check()


def test_a_sinks_count_that_is_off_is_found() -> None:
    made = report()
    made.sinks["archive"].delivered += 1
    with pytest.raises(AccountingError, match=r"sink archive: 5 events made, but 5 delivered [+] 1 quarantined"):
        made.check()


def test_a_failed_batch_counts_nothing_and_comes_back_whole() -> None:
    made = report()
    made.fail("Retryable: 503")
    assert (made.records_in, made.passed, made.quarantined, made.dropped, made.settled, made.left) == (
        10,
        0,
        0,
        0,
        0,
        10,
    )
    assert (made.sinks, made.response()) == ({}, {"batchItemFailures": [{"itemIdentifier": "100"}]})
    made.check()


def test_totals_add_to_what_was_counted_before_and_keep_what_they_do_not_know() -> None:
    assert report().totals({"records": 100, "archive.events": 50, "from a later version": 3}) == {
        "from a later version": 3,
        "records": 107,
        "passed": 4,
        "quarantined": 2,
        "dropped": 1,
        "settled": 2,
        "objects": 0,
        "bytes": 0,
        "archive.events": 55,
        "archive.delivered": 4,
        "archive.quarantined": 1,
    }
