from typing import Any

import orjson
import pytest

from aetherstream.sinks.opensearch.answers import Unreadable, Verdict, read, whole
from tests.sinks.opensearch.fakes import Item, error

REJECTION = (
    "rejected execution of coordinating operation [coordinating_and_primary_bytes=0, replica_bytes=0, all_bytes=0,"
    " coordinating_operation_bytes={}, max_coordinating_and_primary_bytes=51897958]"
)


def answer(*items: Item, errors: bool = True) -> str:
    return orjson.dumps({"took": 3, "errors": errors, "items": [{"create": item} for item in items]}).decode()


@pytest.mark.parametrize("status", [200, 201, 409])
def test_what_stands_is_done(status: int) -> None:
    assert read(answer(error(status, "version_conflict_engine_exception"), error(429, "x")), 2).keys() == {1}


def test_what_was_to_be_removed_and_is_not_there_is_done() -> None:
    assert read(answer({"status": 404}, error(404, "index_not_found_exception")), 2).keys() == {1}


# The texts are those of OpenSearch 3.8.0, or where it can't be brought to say them, of its source.
@pytest.mark.parametrize(
    ("item", "fate", "reason"),
    [
        (error(429, "rejected_execution_exception"), "retry", "rejected_execution_exception"),
        (error(429, "circuit_breaking_exception"), "retry", "circuit_breaking_exception"),
        (error(429, "cluster_block_exception"), "stuck", "cluster_block_exception"),
        (error(503, "unavailable_shards_exception"), "retry", "unavailable_shards_exception"),
        (error(500, "null_pointer_exception"), "failing", "null_pointer_exception"),
        ({"status": 502}, "retry", "502"),
        (error(403, "cluster_block_exception"), "refused", "configuration: cluster_block_exception"),
        (error(403, "security_exception"), "refused", "configuration: security_exception"),
        (error(400, "index_closed_exception"), "configuration", "configuration: index_closed_exception"),
        (error(404, "index_not_found_exception"), "configuration", "configuration: index_not_found_exception"),
        (error(400, "invalid_index_name_exception"), "configuration", "configuration: invalid_index_name_exception"),
        (
            error(
                400,
                "validation_exception",
                "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has"
                " [1000]/[1000] maximum shards open;",
            ),
            "refused",
            "configuration: too many shards",
        ),
        (
            error(400, "illegal_argument_exception", "Document ID is not supported in create/index operation request"),
            "refused",
            "configuration: the collection takes no ids",
        ),
        (
            error(
                400,
                "mapper_parsing_exception",
                "failed to parse field [dep_delay] of type [double] in document with id 'm1'. Preview of field's value:"
                " 'x'",
            ),
            "rejected",
            "mapper_parsing_exception: field dep_delay of type double",
        ),
        (
            error(
                400,
                "mapper_parsing_exception",
                "object mapping for [where] tried to parse field [where] as object, but found a concrete value",
            ),
            "rejected",
            "mapper_parsing_exception: field where",
        ),
        (
            error(400, "mapper_parsing_exception", "failed to parse", caused_by={"type": "json_parse_exception"}),
            "rejected",
            "mapper_parsing_exception: json_parse_exception",
        ),
        (
            error(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"),
            "rejected",
            "illegal_argument_exception: limit of total fields",
        ),
        (
            error(
                400,
                "strict_dynamic_mapping_exception",
                "mapping set to strict, dynamic introduction of [x] within [_doc] is not allowed",
            ),
            "rejected",
            "strict_dynamic_mapping_exception: field is not in the mapping",
        ),
        (error(400, "some_new_exception", "of value 17"), "rejected", "some_new_exception"),
        ({"status": 418, "error": "a teapot"}, "rejected", "418"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_item_is_classified(item: Item, fate: str, reason: str) -> None:
    verdict = read(answer(item), 1)[0]
    assert (verdict.fate, verdict.reason) == (fate, reason)


def test_the_message_is_opensearchs_own_with_what_caused_it() -> None:
    cause = {"type": "number_format_exception", "reason": 'For input string: "x"'}
    item = error(400, "mapper_parsing_exception", "failed to parse\n field [d]", caused_by=cause)
    assert read(answer({"status": 201}, item), 2) == {
        1: Verdict(
            "rejected",
            "mapper_parsing_exception: field d",
            "OpenSearch answered 400: mapper_parsing_exception: failed to parse field [d]; caused by"
            ' number_format_exception: For input string: "x"',
        )
    }


def test_two_values_of_one_cause_have_one_reason() -> None:
    text = "failed to parse field [d] of type [long] in document with id '{0}'. Preview of field's value: '{0}'"
    items = [error(400, "mapper_parsing_exception", text.format(value)) for value in ("a", "b")]
    first, second = read(answer(*items), 2).values()
    assert (first.reason, first.message == second.message) == (second.reason, False)


def test_items_are_not_looked_at_where_none_failed() -> None:
    assert read('{"errors":false,"items":[{},17]}', 2) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        answer({"status": 201}, {"status": 201})[:-9],
        answer({"status": 201}),
        answer({"status": 201}, errors=False),
        '{"errors":true,"items":[{},{}]}',
        '{"errors":true,"items":[{"create":{"status":201}},{"create":{}}]}',
        '{"items":[{},{}]}',
        '{"took":1}',
        "[]",
    ],
)
def test_an_answer_that_does_not_tell_of_every_document_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text, 2)


@pytest.mark.parametrize(
    ("status", "kind", "reason", "fate"),
    [
        (413, "", "", "split"),
        (400, "illegal_argument_exception", "Malformed action/metadata line [3]", "split"),
        (400, "", "", "refused"),
        (401, "", "", "refused"),
        (403, "security_exception", "no permissions for [indices:data/write/bulk]", "refused"),
        (404, "", "", "refused"),
        (301, "", "", "refused"),
        (408, "", "", "retry"),
        (429, "rejected_execution_exception", REJECTION.format(1000), "retry"),
        (429, "rejected_execution_exception", REJECTION.format(62914808), "split"),
        (429, "cluster_block_exception", "", "stuck"),
        (500, "", "", "retry"),
        (502, "", "", "retry"),
        (503, "", "", "retry"),
        (504, "", "", "retry"),
    ],
)
def test_each_refusal_of_a_whole_request_is_classified(status: int, kind: str, reason: str, fate: str) -> None:
    text: Any = {"error": {"type": kind, "reason": reason}} if kind else "<html>no JSON</html>"
    assert whole(orjson.dumps(text).decode() if kind else text, status).fate == fate
