from datetime import UTC, datetime
from typing import Any

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.local.esm import MappingSettings

from .harness import BUCKET, FUNCTION, STREAM, settings

DESCRIBED: dict[str, Any] = {
    "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
    "StartingPosition": "AT_TIMESTAMP",
    "StartingPositionTimestamp": datetime(2025, 11, 21, 8, tzinfo=UTC),
    "BatchSize": 500,
    "MaximumBatchingWindowInSeconds": 20,
    "ParallelizationFactor": 2,
    "EventSourceArn": STREAM,
    "FilterCriteria": {"Filters": [{"Pattern": '{"data": {"carrier": ["UA"]}}'}]},
    "FunctionArn": FUNCTION,
    "State": "Enabled",
    "DestinationConfig": {"OnFailure": {"Destination": BUCKET}},
    "MaximumRecordAgeInSeconds": 3600,
    "BisectBatchOnFunctionError": True,
    "MaximumRetryAttempts": 3,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
}
READ = MappingSettings(
    stream_arn=STREAM,
    function_arn=FUNCTION,
    uuid="14e0db71-5d35-4eb5-b481-8945cf9d10c2",
    starting_position="AT_TIMESTAMP",
    starting_timestamp=1_763_712_000.0,
    batch_size=500,
    batching_window=20,
    parallelization_factor=2,
    maximum_retry_attempts=3,
    maximum_record_age=3600,
    bisect=True,
    report_batch_item_failures=True,
    filters=('{"data": {"carrier": ["UA"]}}',),
    on_failure=BUCKET,
)


def test_the_answer_of_the_api_is_read_whole() -> None:
    assert MappingSettings.from_api(DESCRIBED) == READ


def test_what_the_answer_lacks_comes_from_the_template() -> None:
    described = {k: v for k, v in DESCRIBED.items() if k not in ("MaximumRetryAttempts", "FunctionResponseTypes")}
    template = {"MaximumRetryAttempts": 3, "FunctionResponseTypes": ["ReportBatchItemFailures"], "BatchSize": 7}
    assert MappingSettings.from_api(described, template=template) == READ


def test_a_template_may_write_numbers_and_booleans_as_strings() -> None:
    properties = {
        "Stream": STREAM,
        "FunctionName": FUNCTION,
        "Enabled": "false",
        "StartingPosition": "LATEST",
        "BatchSize": "10000",
        "BisectBatchOnFunctionError": "True",
    }
    assert MappingSettings.from_template(properties) == MappingSettings(
        stream_arn=STREAM,
        function_arn=FUNCTION,
        enabled=False,
        starting_position="LATEST",
        batch_size=10_000,
        bisect=True,
    )


def test_defaults_are_those_of_aws() -> None:
    minimal = {"EventSourceArn": STREAM, "FunctionName": FUNCTION, "DestinationConfig": {"OnFailure": {}}}
    assert MappingSettings.from_template(minimal) == MappingSettings(
        stream_arn=STREAM,
        function_arn=FUNCTION,
        enabled=True,
        starting_position="TRIM_HORIZON",
        batch_size=100,
        batching_window=0,
        parallelization_factor=1,
        maximum_retry_attempts=-1,
        maximum_record_age=-1,
        bisect=False,
        report_batch_item_failures=False,
        tumbling_window=0,
        filters=(),
        on_failure=None,
    )


@pytest.mark.parametrize(("state", "enabled"), [("Enabled", True), ("Disabled", False), ("Disabling", False)])
def test_the_state_says_whether_the_mapping_is_enabled(state: str, enabled: bool) -> None:
    assert MappingSettings.from_api({**DESCRIBED, "State": state}).enabled is enabled


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "BatchSize is 0; it must be 1 to 10000"),
        ({"batch_size": 10_001}, "BatchSize is 10001; it must be 1 to 10000"),
        ({"batching_window": 301}, "MaximumBatchingWindowInSeconds is 301; it must be 0 to 300"),
        ({"parallelization_factor": 11}, "ParallelizationFactor is 11; it must be 1 to 10"),
        ({"maximum_retry_attempts": -2}, "MaximumRetryAttempts is -2; it must be -1 to 10000"),
        ({"maximum_record_age": 59}, "MaximumRecordAgeInSeconds is 59; it must be -1 or 60 to 604800"),
        ({"tumbling_window": 901}, "TumblingWindowInSeconds is 901; it must be 0 to 900"),
        (
            {"starting_position": "AT_TIMESTAMP"},
            (
                "StartingPositionTimestamp is None with StartingPosition AT_TIMESTAMP; it is needed with AT_TIMESTAMP, "
                "and only there"
            ),
        ),
        (
            {"starting_position": "EARLIEST"},
            "StartingPosition is 'EARLIEST'; it must be TRIM_HORIZON, LATEST or AT_TIMESTAMP",
        ),
        (
            {"tumbling_window": 60, "parallelization_factor": 2},
            "ParallelizationFactor is 2; it must be 1 when TumblingWindowInSeconds (60) is set",
        ),
        (
            {"on_failure": "dead-letters"},
            (
                "DestinationConfig.OnFailure.Destination is 'dead-letters'; it must be the ARN of an SQS queue, an SNS "
                "topic or an S3 bucket"
            ),
        ),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings(**changes)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"BatchSize": "many"}, "BatchSize is 'many'; it must be a whole number"),
        ({"Enabled": "perhaps"}, "Enabled is 'perhaps'; it must be true or false"),
        (
            {"EventSourceArn": {"Ref": "Stream"}},
            "EventSourceArn is {'Ref': 'Stream'}; it must be the resolved ARN of the mapping's resource",
        ),
    ],
)
def test_a_template_value_of_the_wrong_type_is_refused_by_name(properties: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        MappingSettings.from_template({"EventSourceArn": STREAM, "FunctionName": FUNCTION, **properties})
    assert str(refused.value) == message
