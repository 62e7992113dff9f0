from aetherstream import kpl as messages
from aetherstream.decode import Decoder, read_batch
from aetherstream.decode.aggregate import MAGIC
from aetherstream.records import Events, Rejection
from aetherstream.testing.events import array, gz, kinesis_event, kpl, kpl_message, ndjson, zst
from tests.decode.conftest import Decode

A, B, C = {"a": 1}, {"b": [2, None]}, {"c": "ü"}


def test_plain_objects_are_one_event_each(decode: Decode) -> None:
    assert decode(A, B, C) == ([(0, 0, A), (1, 0, B), (2, 0, C)], [], 3, [])


def test_a_part_of_a_batch_counts_from_the_beginning_of_the_batch() -> None:
    records = read_batch(kinesis_event([A, b"", B, b"x", C]))
    rejections: list[Rejection] = []

    events = Decoder().decode(records, 2, 4, rejections)

    assert events == Events([B], [2], [0])
    assert [(r.record, r.sub, r.stage, r.where, r.reason) for r in rejections] == [
        (3, None, "decode", "decode", "not JSON")
    ]


def test_an_empty_part_gives_nothing() -> None:
    decoder = Decoder()

    assert decoder.decode(read_batch({"Records": []}), 0, 0, []) == Events()
    assert decoder.seen == 0


def test_every_form_of_many_gives_flat_indexes(decode: Decode) -> None:
    payloads = [
        array([A, B]),
        ndjson([A, B]),
        kpl([A, B]),
        gz(ndjson([A, B])),
        zst(array([A, B])),
        gz(gz(array([A, B]))),
    ]

    decoded = decode(*payloads)

    assert decoded.events == [(i, sub, value) for i in range(len(payloads)) for sub, value in enumerate([A, B])]
    assert (decoded.rejected, decoded.seen) == ([], 12)


def test_indexes_run_on_over_the_parts_of_an_aggregate(decode: Decode) -> None:
    decoded = decode(kpl([ndjson([A, B]), gz(array([A, b"7", C])), b"", B]))

    assert decoded.events == [(0, 0, A), (0, 1, B), (0, 2, A), (0, 4, C), (0, 6, B)]
    assert decoded.rejected == [(0, 3, "not an object", b"7"), (0, 5, "empty record", b"")]
    assert decoded.seen == 7


def test_bad_records_leave_their_neighbours_alone(decode: Decode) -> None:
    decoded = decode(A, b"", B, gz(A)[:-3], b"{", C)

    assert decoded.events == [(0, 0, A), (2, 0, B), (5, 0, C)]
    assert decoded.rejected == [
        (1, None, "empty record", None),
        (3, None, "gzip: truncated", None),
        (4, None, "not JSON", None),
    ]


def test_what_is_not_base64_keeps_its_text(decode: Decode) -> None:
    decoded = decode(A, A, A, A, A, texts=["e30=", "e3 0=", "e30", "ü", "e30=\n"])

    assert decoded.events == [(0, 0, {})]
    assert decoded.rejected == [
        (1, None, "not base64", b"e3 0="),
        (2, None, "not base64", b"e30"),
        (3, None, "not base64", "ü".encode()),
        (4, None, "not base64", b"e30=\n"),
    ]


def test_the_limit_of_expansion_holds_for_all_parts_of_a_record_together(decode: Decode) -> None:
    large = gz({"text": "x" * 600})

    decoded = decode(kpl([large, large, A, gz(A)]), large, decoder=Decoder(max_expanded=1000))

    assert [(r, s) for r, s, _ in decoded.events] == [(0, 0), (0, 2), (1, 0)]
    assert decoded.rejected == [(0, 1, "expands too far", large), (0, 3, "expands too far", gz(A))]


def test_compression_within_compression_is_opened_twice_and_no_more(decode: Decode) -> None:
    decoded = decode(gz(zst(A)), gz(zst(gz(A))))

    assert decoded.events == [(0, 0, A)]
    assert decoded.rejected == [(1, None, "compressed too often", None)]


def test_compressed_nothing_is_an_empty_record(decode: Decode) -> None:
    assert decode(gz(b""), zst(b""), gz(b" \n")).rejected == [(i, None, "empty record", None) for i in range(3)]


def test_an_aggregate_with_a_wrong_checksum_is_rejected_as_such(decode: Decode) -> None:
    aggregate = kpl([A])

    assert decode(aggregate[:-1] + bytes([aggregate[-1] ^ 1])).rejected == [
        (0, None, "KPL aggregate: checksum mismatch", None)
    ]


def test_a_sub_record_whose_key_is_lost_is_rejected_though_its_data_is_json(decode: Decode) -> None:
    message = messages.AggregatedRecord(partition_key_table=["k"])
    for index, data in enumerate([b'{"a":1}', b'{"b":[2,null]}']):
        message.records.add(partition_key_index=index, data=data)

    decoded = decode(kpl_message(message.SerializeToString()))

    assert decoded.events == [(0, 0, A)]
    assert decoded.rejected == [(0, 1, "KPL aggregate: index out of range", b'{"b":[2,null]}')]


def test_an_aggregate_within_another_format_is_not_opened(decode: Decode) -> None:
    decoded = decode(gz(kpl([A])), kpl([kpl([A]), B]))

    assert decoded.events == [(1, 1, B)]
    assert decoded.rejected == [
        (0, None, "KPL aggregate: not outermost", None),
        (1, 0, "KPL aggregate: not outermost", kpl([A])),
    ]


def test_too_many_user_records_reject_the_kinesis_record(decode: Decode) -> None:
    decoder = Decoder(max_records=2)

    decoded = decode(
        array([A] * 3), ndjson([A] * 3), kpl([A] * 3), kpl([A, array([A, A])]), array([A, A]), decoder=decoder
    )

    assert decoded.events == [(4, 0, A), (4, 1, A)]
    assert decoded.rejected == [(i, None, "too many records", None) for i in range(4)]


def test_a_document_of_too_many_values_is_not_even_parsed(decode: Decode) -> None:
    small = b'{"a":[%s]}' % b",".join([b"[]"] * 40)
    large = b'{"a":[%s]}' % b",".join([b"[]"] * 100)

    decoded = decode(gz(small), gz(large), decoder=Decoder(max_values=100))

    assert decoded.events == [(0, 0, {"a": [[]] * 40})]
    assert decoded.rejected == [(1, None, "too many values", None)]


def test_the_values_of_all_compressed_parts_count_together(decode: Decode) -> None:
    part = gz(b'{"a":[%s]}' % b",".join([b"[]"] * 20))

    decoded = decode(kpl([part, part, part, A]), decoder=Decoder(max_values=100))

    assert [(r, s) for r, s, _ in decoded.events] == [(0, 0), (0, 1), (0, 3)]
    assert decoded.rejected == [(0, 2, "too many values", part)]


def test_the_magic_of_aggregates_is_that_of_the_wire_module() -> None:
    assert kpl_message(b"")[:4] == MAGIC
