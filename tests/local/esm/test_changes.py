import random
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.local.esm import Discard, FunctionError, Invoke, Mapping, MappingSettings, Returned, as_record

TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/states/stream/2026-11-21T00:00:00.000"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:emitter"
SHARD = "shardId-00000000000000000000-00000000"
AT = datetime(2026, 11, 21, 7, 4, 0, 250000, tzinfo=UTC)


def change(number: int, group: str = "AA", **more: Any) -> dict[str, Any]:
    """As boto3 gives it."""
    return {
        "eventID": f"id-{number}",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": AT,
            "Keys": {"pk": {"S": group}, "sk": {"S": "0"}},
            "NewImage": {"pk": {"S": group}, "sk": {"S": "0"}, "k": {"N": str(number)}, "acc": {"B": b"\x00\xff"}},
            "SequenceNumber": f"{number:030}",
            "SizeBytes": 10,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        **more,
    }


def mapping(**settings: Any) -> Mapping:
    given = {"stream_arn": TABLE, "function_arn": FUNCTION, "batch_size": 10, "report_batch_item_failures": True}
    made = Mapping(MappingSettings(**{**given, **settings}), random.Random(1))
    made.add_shard(SHARD)
    return made


def invoked(on: Mapping, now: float = 0.0) -> Invoke:
    [action] = on.poll(now)
    assert isinstance(action, Invoke)
    return action


def numbers(invoke: Invoke) -> list[int]:
    return [int(record["dynamodb"]["SequenceNumber"]) for record in invoke.event["Records"]]


def test_an_event_has_the_changes_as_lambda_tells_them() -> None:
    who = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    running = mapping()
    running.feed(SHARD, [as_record(change(7, userIdentity=who))], 0.0)
    assert invoked(running).event == {
        "Records": [
            {
                "eventID": "id-7",
                "eventName": "MODIFY",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": AT.timestamp(),
                    "Keys": {"pk": {"S": "AA"}, "sk": {"S": "0"}},
                    "NewImage": {"pk": {"S": "AA"}, "sk": {"S": "0"}, "k": {"N": "7"}, "acc": {"B": "AP8="}},
                    "SequenceNumber": f"{7:030}",
                    "SizeBytes": 10,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
                "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
                "eventSourceARN": TABLE,
            }
        ]
    }


def test_a_batch_is_cut_before_its_event_passes_six_megabytes() -> None:
    large = [change(number) for number in range(1, 31)]
    for one in large:
        one["dynamodb"]["NewImage"]["acc"]["B"] = b"\xff" * 300_000
    running = mapping(batch_size=1000)
    running.feed(SHARD, [as_record(one) for one in large], 0.0)
    first = invoked(running)
    one_more = len(orjson.dumps(first.event["Records"][0])) + 1
    assert len(first.payload()) <= 6 * 1024 * 1024 < len(first.payload()) + one_more


def test_what_a_function_reports_is_brought_again_from_there() -> None:
    running = mapping()
    running.feed(SHARD, [as_record(change(number)) for number in (1, 2, 3)], 0.0)
    first = invoked(running)
    failed = {"batchItemFailures": [{"itemIdentifier": f"{2:030}"}]}
    running.finished(first.invocation_id, Returned(failed), 0.0)
    assert (numbers(first), numbers(invoked(running, 60.0))) == ([1, 2, 3], [2, 3])
    assert running.checkpoint(SHARD) == f"{1:030}"


def test_filters_name_the_fields_of_the_change() -> None:
    running = mapping(filters=('{"eventName": ["MODIFY"], "dynamodb": {"Keys": {"pk": {"S": ["AA"]}}}}',))
    running.feed(SHARD, [as_record(change(1, "UA")), as_record(change(2, "AA"))], 0.0)
    assert numbers(invoked(running)) == [2]


def test_changes_of_an_item_stay_in_one_lane() -> None:
    running = mapping(parallelization_factor=10)
    running.feed(SHARD, [as_record(change(number, group)) for number, group in enumerate(["AA", "UA"] * 5, 1)], 0.0)
    found = sorted(numbers(action) for action in running.poll(0.0) if isinstance(action, Invoke))
    assert found == [[1, 3, 5, 7, 9], [2, 4, 6, 8, 10]]


def test_the_record_of_changes_that_were_given_up_names_the_tables_stream() -> None:
    running = mapping(maximum_retry_attempts=0, on_failure="arn:aws:sqs:us-east-1:000000000000:q")
    running.feed(SHARD, [as_record(change(1))], 0.0)
    running.finished(invoked(running).invocation_id, FunctionError(), 0.0)
    [discard] = running.poll(60.0)
    assert isinstance(discard, Discard)
    assert "KinesisBatchInfo" not in discard.message
    assert discard.message["DDBStreamBatchInfo"] == {
        "shardId": SHARD,
        "startSequenceNumber": f"{1:030}",
        "endSequenceNumber": f"{1:030}",
        "approximateArrivalOfFirstRecord": "2026-11-21T07:04:00.250Z",
        "approximateArrivalOfLastRecord": "2026-11-21T07:04:00.250Z",
        "batchSize": 1,
        "streamArn": TABLE,
    }


@pytest.mark.parametrize(
    "wrong", [{"starting_position": "AT_TIMESTAMP", "starting_timestamp": 1.0}, {"tumbling_window": 60}]
)
def test_what_streams_of_tables_do_not_have_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="table/states"):
        MappingSettings(stream_arn=TABLE, function_arn=FUNCTION, **wrong)
