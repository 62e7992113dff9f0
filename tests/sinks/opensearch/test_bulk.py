import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.sinks.opensearch.bulk import create_body, cut, sendable, unsendable, upsert_body

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def test_a_document_is_created_in_its_place_under_its_id() -> None:
    body = create_body(["a", "b"], ["s:1:0", "s:2:0"], [b'{"n":1}', b'{"n":2}'])
    assert body == (
        b'{"create":{"_index":"a","_id":"s:1:0"}}\n{"n":1}\n{"create":{"_index":"b","_id":"s:2:0"}}\n{"n":2}\n'
    )


def test_an_upsert_carries_its_version() -> None:
    assert upsert_body(["a", "a"], ["x", "y"], [b"{}", b"{}"], [7, 8]) == (
        b'{"index":{"_index":"a","_id":"x","version":7,"version_type":"external"}}\n{}\n'
        b'{"index":{"_index":"a","_id":"y","version":8,"version_type":"external"}}\n{}\n'
    )


def test_a_document_without_a_body_is_removed_by_its_version() -> None:
    assert upsert_body(["a", "a", "b"], ["x", "y", "z"], [b"", b"{}", b""], [7, 8, 9]) == (
        b'{"delete":{"_index":"a","_id":"x","version":7,"version_type":"external"}}\n'
        b'{"index":{"_index":"a","_id":"y","version":8,"version_type":"external"}}\n{}\n'
        b'{"delete":{"_index":"b","_id":"z","version":9,"version_type":"external"}}\n'
    )


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), IDS), min_size=1, max_size=8))
def test_any_id_is_read_as_it_was_written(rows: list[tuple[str, str]]) -> None:
    places, ids = [place for place, _ in rows], [document_id for _, document_id in rows]
    lines = create_body(places, ids, [b"{}"] * len(rows)).split(b"\n")
    actions = [orjson.loads(line)["create"] for line in lines[0:-1:2]]
    assert [(action["_index"], action["_id"]) for action in actions] == rows


def test_a_document_in_several_lines_stays_one_document() -> None:
    body = create_body(["a"], ["x"], [b'{\n"n":\n1}'])
    assert body == b'{"create":{"_index":"a","_id":"x"}}\n{ "n": 1}\n'


@pytest.mark.parametrize(
    ("document_id", "body", "reason"),
    [
        ("x" * 512, b"{}", None),
        ("x" * 513, b"{}", "id is too long"),
        ("é" * 256, b"{}", None),
        ("é" * 257, b"{}", "id is too long"),
        ("", b"{}", "id is empty"),
        ("\ud800", b"{}", "id is not unicode text"),
        ("x", b"1" * 100, None),
        ("x", b"1" * 101, "document is too large"),
    ],
)
def test_what_would_make_its_request_fail_is_told_before(document_id: str, body: bytes, reason: str | None) -> None:
    found = sendable(document_id, body, 100)
    assert (found and found.reason) == reason
    others = unsendable(["s:1:0", document_id, "é"], [b"{}", body, b"{}"], 100)
    assert {index: error.reason for index, error in others.items()} == ({1: reason} if reason else {})
    alone = unsendable([document_id], [body], 100)
    assert {index: error.reason for index, error in alone.items()} == ({0: reason} if reason else {})


def test_requests_are_cut_by_count() -> None:
    assert list(cut(["x"] * 5, [b"{}"] * 5, 2, 10**6)) == [(0, 2), (2, 4), (4, 5)]


def test_requests_are_cut_by_bytes_and_a_larger_document_goes_alone() -> None:
    bodies = [b"x" * 100, b"x" * 1000, b"x" * 100, b"x" * 100]
    assert list(cut(["x"] * 4, bodies, 100, 500)) == [(0, 1), (1, 2), (2, 4)]


def test_nothing_is_cut_of_nothing() -> None:
    assert (list(cut([], [], 10, 10)), unsendable([], [], 10)) == ([], {})


@given(st.lists(st.integers(0, 400), max_size=40), st.integers(1, 7), st.integers(1, 900))
def test_cuts_are_whole_and_within_bounds(sizes: list[int], documents: int, size: int) -> None:
    bodies, ids = [b"x" * each for each in sizes], ["id"] * len(sizes)
    cuts = list(cut(ids, bodies, documents, size))
    assert [index for start, end in cuts for index in range(start, end)] == list(range(len(sizes)))
    for start, end in cuts:
        whole = create_body(["i"] * (end - start), ids[start:end], bodies[start:end])
        assert end - start <= documents
        assert end - start == 1 or len(whole) <= size
