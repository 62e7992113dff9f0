"""Whatever bytes arrive: nothing crashes, nothing vanishes, and the form of sending does not change the values."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.decode import Decoder, read_batch
from aetherstream.decode.aggregate import open_aggregate
from aetherstream.decode.documents import split_array
from aetherstream.encoded import encode
from aetherstream.records import Event, Events, Rejection
from aetherstream.testing.events import array, gz, kinesis_event, kpl, kpl_message, ndjson, zst

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(NAMES, v, max_size=4), max_leaves=8)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)

JSONISH = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\n", b" ", b'"a":1', b'{"a":1}', b"\xff", b"1" * 21]
    ),
    max_size=12,
).map(b"".join)
LEAVES = st.binary(max_size=40) | JSONISH | OBJECTS.map(orjson.dumps)


def damaged(payload: bytes, at: int, value: int) -> bytes:
    at %= len(payload) + 1
    return payload[:at] + bytes([value]) + payload[at + 1 :]


WRAPPED = st.recursive(
    LEAVES,
    lambda p: (
        st.lists(p, max_size=4).map(kpl)
        | st.lists(p, max_size=4).map(ndjson)
        | st.lists(p, max_size=4).map(array)
        | st.lists(p, max_size=3).map(lambda parts: gz(*parts))
        | st.lists(p, max_size=3).map(lambda parts: zst(*parts))
        | p.map(kpl_message)
        | st.builds(damaged, p, st.integers(0, 10_000), st.integers(0, 255))
    ),
    max_leaves=8,
)


def decoded(payloads: list[bytes]) -> tuple[Events, list[Rejection], int]:
    records = read_batch(kinesis_event(payloads))
    decoder = Decoder()
    rejections: list[Rejection] = []
    return decoder.decode(records, 0, len(records), rejections), rejections, decoder.seen


@given(st.lists(WRAPPED, max_size=6))
def test_every_user_record_becomes_an_event_or_a_rejection(payloads: list[bytes]) -> None:
    events, rejections, seen = decoded(payloads)

    good = list(zip(events.records, events.subs, strict=True))
    bad = [(r.record, r.sub) for r in rejections]
    assert len(good) + len(bad) == seen
    assert all(type(value) is dict for value in events.values)
    assert good == sorted(set(good))
    assert bad == sorted(set(bad), key=lambda p: (p[0], -1 if p[1] is None else p[1]))
    whole = {record for record, sub in bad if sub is None}
    assert whole | {r for r, _ in good} | {r for r, _ in bad} == set(range(len(payloads)))
    for record in range(len(payloads)):
        subs = sorted([s for r, s in good if r == record] + [s for r, s in bad if r == record and s is not None])
        assert subs == ([] if record in whole else list(range(len(subs))))


@given(st.lists(WRAPPED, max_size=6), st.integers(0, 6))
def test_a_batch_decoded_in_two_parts_gives_the_same(payloads: list[bytes], cut: int) -> None:
    records = read_batch(kinesis_event(payloads))
    cut = min(cut, len(records))
    rejections: list[Rejection] = []
    first = Decoder().decode(records, 0, cut, rejections)
    second = Decoder().decode(records, cut, len(records), rejections)
    both = Events(first.values + second.values, first.records + second.records, first.subs + second.subs)

    assert (both, rejections) == decoded(payloads)[:2]


@given(st.lists(WRAPPED, min_size=1, max_size=6))
def test_what_is_accepted_can_be_written_again(payloads: list[bytes]) -> None:
    for value in decoded(payloads)[0].values:
        encode(value)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=20), st.data())
def test_aggregates_give_back_any_payloads(payloads: list[bytes], data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.text("abc", min_size=1, max_size=2), min_size=len(payloads), max_size=len(payloads)))

    assert open_aggregate(kpl(payloads, keys)) == (payloads, {})


@given(st.lists(OBJECTS, min_size=1, max_size=12), st.data())
def test_the_form_of_sending_does_not_change_the_values(values: list[Event], data: st.DataObject) -> None:
    forms = st.sampled_from([ndjson, array, kpl])
    wraps = st.sampled_from([bytes, gz, zst, lambda p: gz(zst(p))])
    payloads = []
    rest = list(values)
    while rest:
        part = rest[: data.draw(st.integers(1, len(rest)))]
        rest = rest[len(part) :]
        form = data.draw(forms)
        if form is kpl:
            payloads.append(kpl([data.draw(wraps)(orjson.dumps(v)) for v in part]))
        else:
            payloads.append(data.draw(wraps)(form(part)))

    events, rejections, seen = decoded(payloads)

    assert (events.values, rejections, seen) == (values, [], len(values))


@given(st.lists(VALUES, max_size=8))
def test_a_valid_array_is_cut_into_its_elements(values: list[object]) -> None:
    assert [orjson.loads(e) for e in split_array(orjson.dumps(values)) or []] == values
