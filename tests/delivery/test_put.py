from collections.abc import Mapping

import pytest

from aetherstream.delivery.put import DIGEST, EPOCH, Conflict, Head, Missing, PreconditionFailed, put
from aetherstream.errors import Retryable, Superseded
from aetherstream.objects import compressor
from aetherstream.testing.stores import MemoryObjects

gz = compressor("gzip", 1)


def stored(store: MemoryObjects, key: str = "k") -> tuple[bytes, str]:
    found = store.objects["b", key]
    return found.body, found.metadata[EPOCH]


class Scripted(MemoryObjects):
    """Answers the coming puts by a script before it answers by itself."""

    def __init__(self, *script: str) -> None:
        super().__init__()
        self.script = list(script)
        self.conditions: list[str | None] = []

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        self.conditions.append(if_match)
        step = self.script.pop(0) if self.script else "ok"
        if step == "409":
            raise Conflict
        if step == "404":
            raise Missing
        if step == "412":
            raise PreconditionFailed
        super().put(bucket, key, body, metadata, if_match=if_match)
        if step == "answer lost, sent again":
            super().put(bucket, key, body, metadata, if_match=if_match)


def test_a_first_put_is_stored_with_its_epoch() -> None:
    store = Scripted()
    put(store, "b", "k", b"one", {"aether-count": "1"}, 7)
    assert store.objects["b", "k"].body == b"one"
    assert store.objects["b", "k"].metadata == {
        "aether-count": "1",
        EPOCH: "7",
        DIGEST: "7692c3ad3540bb803c020b3aee66cd88",
    }
    assert store.conditions == [None]


def test_an_older_epoch_is_overwritten() -> None:
    store = MemoryObjects()
    put(store, "b", "k", b"old", {}, 7)
    put(store, "b", "k", b"new", {}, 9)
    assert stored(store) == (b"new", "9")


def test_a_newer_epoch_supersedes() -> None:
    store = MemoryObjects()
    put(store, "b", "k", b"new", {}, 9)
    with pytest.raises(Superseded, match="s3://b/k was written by epoch 9, this attempt is 7"):
        put(store, "b", "k", b"old", {}, 7)
    assert stored(store) == (b"new", "9")


def test_epochs_compare_as_numbers() -> None:
    store = MemoryObjects()
    put(store, "b", "k", b"nine", {}, 9)
    put(store, "b", "k", b"ten", {}, 10)
    assert stored(store) == (b"ten", "10")


def test_an_own_put_whose_answer_was_lost_counts_as_stored() -> None:
    store = Scripted("answer lost, sent again")
    put(store, "b", "k", b"one", {}, 7)
    assert (stored(store), store.conditions) == ((b"one", "7"), [None])


def test_an_own_put_with_other_bytes_is_put_again() -> None:
    store = MemoryObjects()
    put(store, "b", "k", b"", {}, 7)
    put(store, "b", "k", b"one", {}, 7)
    assert stored(store) == (b"one", "7")


def test_a_conflicting_operation_is_repeated() -> None:
    store = Scripted("409", "409")
    put(store, "b", "k", b"one", {}, 7)
    assert (stored(store), store.conditions) == ((b"one", "7"), [None, None, None])


def test_an_object_that_vanished_is_put_anew() -> None:
    store = Scripted("412", "404")
    store.overwrite("b", "k", b"old", {EPOCH: "3"})
    etag = store.objects["b", "k"].etag
    put(store, "b", "k", b"one", {}, 7)
    # The script's 404 to the second put; then the object stands again, and one more round goes by its ETag.
    assert (stored(store), store.conditions) == ((b"one", "7"), [None, etag, None, etag])


def test_an_object_that_vanished_before_the_look_is_put_anew() -> None:
    store = Scripted("412")
    put(store, "b", "k", b"one", {}, 7)
    assert (stored(store), store.conditions) == ((b"one", "7"), [None, None])


def test_an_object_of_somebody_else_is_left_as_it_is() -> None:
    store = MemoryObjects()
    store.overwrite("b", "k", b"theirs", {})
    with pytest.raises(Retryable, match=r"s3://b/k was not written by AetherStream .* move it"):
        put(store, "b", "k", b"one", {}, 7)
    assert store.objects["b", "k"].body == b"theirs"


def test_an_epoch_that_is_no_number_is_somebody_elses() -> None:
    store = MemoryObjects()
    store.overwrite("b", "k", b"theirs", {EPOCH: "spring"})
    with pytest.raises(Retryable, match="was not written by AetherStream"):
        put(store, "b", "k", b"one", {}, 7)


def test_a_put_that_is_never_let_through_is_retryable() -> None:
    with pytest.raises(Retryable, match="s3://b/k: 8 puts in a row met another writer"):
        put(Scripted(*["409"] * 20), "b", "k", b"one", {}, 7)


def test_a_late_put_of_an_older_epoch_meets_the_newer_object_though_both_hold_the_same_lines() -> None:
    store = MemoryObjects()
    put(store, "b", "k", gz(b'{"n":1}\n', 1), {}, 1)
    seen_by_the_late_one = store.head("b", "k")
    put(store, "b", "k", gz(b'{"n":1}\n', 2), {}, 2)
    put(store, "b", "k", gz(b'{"n":1}\n', 3), {}, 3)
    assert isinstance(seen_by_the_late_one, Head)
    with pytest.raises(PreconditionFailed):
        store.put("b", "k", gz(b'{"n":1}\n', 2), {}, if_match=seen_by_the_late_one.etag)
