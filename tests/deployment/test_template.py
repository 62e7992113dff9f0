import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest

from aetherstream.objects import SUFFIX, Compression, compressor, empty_object
from tests.deployment.cloudformation import ROOT, defaults, refused

Template = dict[str, Any]

# Settings of a mapping that Kinesis knows (AWS: CreateEventSourceMapping), and the parameter that sets each.
MAPPING_SETTINGS = {
    "Enabled": "EventSourceMappingEnabled",
    "BatchSize": "BatchSize",
    "MaximumBatchingWindowInSeconds": "MaximumBatchingWindowInSeconds",
    "MaximumRecordAgeInSeconds": "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts": "MaximumRetryAttempts",
    "BisectBatchOnFunctionError": "BisectBatchOnFunctionError",
    "ParallelizationFactor": "ParallelizationFactor",
    "TumblingWindowInSeconds": "TumblingWindowInSeconds",
    "StartingPosition": "StartingPosition",
    "StartingPositionTimestamp": "StartingPositionTimestamp",
    "FilterCriteria": "FilterPattern",
    "MetricsConfig": "MappingMetrics",
}
# Held by the engine and by the stack itself.
MAPPING_FIXED = {"EventSourceArn", "FunctionName", "FunctionResponseTypes", "DestinationConfig"}


def properties(template: Template, resource: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][resource]["Properties"]
    return found


def references(template: Template, value: Any) -> set[str]:
    """Parameters that a value depends on, through conditions too."""
    if isinstance(value, list):
        return set().union(*(references(template, item) for item in value))
    if not isinstance(value, dict):
        return set()
    found = set()
    for key, inner in value.items():
        if key == "Ref":
            found |= {inner} & template["Parameters"].keys()
        else:
            found |= references(template, inner)
        if key == "Fn::If":
            found |= references(template, template["Conditions"][inner[0]])
    return found


def alternatives(value: Any) -> list[dict[str, Any]]:
    """The statements in a list of them, whichever way its conditions turn out."""
    if isinstance(value, list):
        return [statement for item in value for statement in alternatives(item)]
    if "Fn::If" in value:
        return alternatives(value["Fn::If"][1:])
    return [value] if "Effect" in value else []


def statements(template: Template) -> list[dict[str, Any]]:
    """Every statement that allows something to a role of the stack."""
    found = []
    for resource in template["Resources"].values():
        about = resource["Properties"]
        if resource["Type"] == "AWS::IAM::Role":
            for policy in about.get("Policies", []):
                document = policy["Fn::If"][1] if "Fn::If" in policy else policy
                found += alternatives(document["PolicyDocument"]["Statement"])
        elif resource["Type"] == "AWS::IAM::ManagedPolicy":
            found += alternatives(about["PolicyDocument"]["Statement"])
    return [statement for statement in found if statement["Effect"] == "Allow"]


def test_sam_and_cfn_lint_find_nothing() -> None:
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    sam = Path(sys.executable).with_name("sam")
    done = subprocess.run(
        [sam, "validate", "--lint"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_lint_rule_is_switched_off(template: Template) -> None:
    blocks = [template, *template["Resources"].values()]
    assert [block["Metadata"] for block in blocks if "cfn-lint" in block.get("Metadata", {})] == []
    assert [path.name for path in ROOT.glob(".cfnlintrc*")] == []


def test_partial_responses_are_on_whatever_the_parameters_say(template: Template) -> None:
    assert properties(template, "StreamMapping")["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize(("setting", "parameter"), MAPPING_SETTINGS.items())
def test_every_setting_of_the_mapping_is_a_parameter(template: Template, setting: str, parameter: str) -> None:
    assert references(template, properties(template, "StreamMapping")[setting]) >= {parameter}


def test_the_mapping_has_no_setting_that_is_not_accounted_for(template: Template) -> None:
    assert properties(template, "StreamMapping").keys() == MAPPING_SETTINGS.keys() | MAPPING_FIXED


def test_the_mapping_calls_the_alias(template: Template) -> None:
    assert properties(template, "StreamMapping")["FunctionName"] == {"Ref": "StreamFunction.Alias"}
    assert properties(template, "StreamFunction")["AutoPublishAlias"] == "live"


def test_records_are_bounded_by_age_and_not_by_count(template: Template) -> None:
    age = template["Parameters"]["MaximumRecordAgeInSeconds"]
    assert min(age["AllowedValues"]) >= 60
    assert template["Parameters"]["MaximumRetryAttempts"]["Default"] == -1


def test_discarded_batches_go_to_the_dead_letter_bucket(template: Template) -> None:
    destination = {"OnFailure": {"Destination": {"Fn::GetAtt": ["DeadLetterBucket", "Arn"]}}}
    assert properties(template, "StreamMapping")["DestinationConfig"] == destination


def test_dead_letters_are_announced_in_an_encrypted_queue_for_two_weeks(template: Template) -> None:
    queue = properties(template, "DeadLetterQueue")
    [notification] = properties(template, "DeadLetterBucket")["NotificationConfiguration"]["QueueConfigurations"]
    assert notification["Queue"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert (queue["MessageRetentionPeriod"], queue["SqsManagedSseEnabled"]) == (14 * 24 * 3600, True)


def test_only_the_dead_letter_bucket_may_send_to_the_queue(template: Template) -> None:
    allowed, _ = properties(template, "DeadLetterQueuePolicy")["PolicyDocument"]["Statement"]
    [name, variables] = properties(template, "DeadLetterBucket")["BucketName"]["Fn::Sub"]
    source = {"Fn::Sub": [f"arn:${{AWS::Partition}}:s3:::{name}", variables]}
    assert allowed == {
        "Sid": "DeadLettersFromTheirBucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]},
        "Condition": {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            "ArnEquals": {"aws:SourceArn": source},
        },
    }


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"ParallelizationFactor": 2}, "ParallelOnlyAtLeastOnce"),
        (
            {"ParallelizationFactor": 2, "Delivery": "at_least_once", "TumblingWindowInSeconds": 60},
            "ParallelOnlyAtLeastOnce",
        ),
        ({"StartingPosition": "AT_TIMESTAMP"}, "TimestampGiven"),
        ({"ShardCount": 4}, "ShardsOfOneMode"),
        ({"StreamRetentionHours": 48}, "RetentionExceedsAge"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    template: Template, wrong: dict[str, object], rule: str
) -> None:
    assert refused(template, defaults(template, **wrong)) == [rule]


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"ParallelizationFactor": 10, "Delivery": "at_least_once"},
        {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1545084650},
        {"ShardCount": 4, "StreamMode": "PROVISIONED"},
        {"MaximumRecordAgeInSeconds": 604800, "StreamRetentionHours": 336},
    ],
)
def test_parameters_that_agree_are_taken(template: Template, right: dict[str, object]) -> None:
    assert refused(template, defaults(template, **right)) == []


def test_the_stream_keeps_records_longer_than_they_are_retried(template: Template) -> None:
    ages = template["Parameters"]["MaximumRecordAgeInSeconds"]["AllowedValues"]
    retentions = template["Parameters"]["StreamRetentionHours"]["AllowedValues"]
    wrong = []
    for age, hours in itertools.product(ages, retentions):
        parameters = defaults(template, MaximumRecordAgeInSeconds=age, StreamRetentionHours=hours)
        margin = 12 if hours == 24 else 24
        if bool(refused(template, parameters)) != (age > (hours - margin) * 3600):
            wrong.append((age, hours))
    assert wrong == []


@pytest.mark.parametrize(
    ("parameter", "shape"),
    [
        ("BatchSize", "BatchSize"),
        ("MaximumBatchingWindowInSeconds", "MaximumBatchingWindowInSeconds"),
        ("MaximumRetryAttempts", "MaximumRetryAttemptsEventSourceMapping"),
        ("ParallelizationFactor", "ParallelizationFactor"),
        ("TumblingWindowInSeconds", "TumblingWindowInSeconds"),
    ],
)
def test_numbers_have_the_bounds_of_the_service(template: Template, parameter: str, shape: str) -> None:
    model = botocore.loaders.Loader().load_service_model("lambda", "service-2")["shapes"][shape]
    about = template["Parameters"][parameter]
    assert (about["MinValue"], about["MaxValue"]) == (model["min"], model["max"])


def test_every_parameter_is_constrained_and_says_how(template: Template) -> None:
    loose = []
    for name, about in template["Parameters"].items():
        bounded = "AllowedPattern" in about or "MaxLength" in about or "MinValue" in about
        explained = "AllowedValues" in about or (bounded and "ConstraintDescription" in about)
        if not explained or "Description" not in about or "Default" not in about:
            loose.append(name)
    assert loose == []


def test_every_parameter_stands_in_a_group_of_the_console(template: Template) -> None:
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])


def test_roles_name_their_resources(template: Template) -> None:
    unnamed = [each["Action"] for each in statements(template) if each["Resource"] == "*"]
    # Neither a trace nor a statement of the Data API has an ARN.
    traces = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    own = ["redshift-data:CancelStatement", "redshift-data:DescribeStatement", "redshift-data:GetStatementResult"]
    assert [each for each in unnamed if each != traces] == [own]


def test_roles_list_their_actions(template: Template) -> None:
    lists = [each["Action"] if isinstance(each["Action"], list) else [each["Action"]] for each in statements(template)]
    actions = {action for listed in lists for action in listed}
    assert sorted(actions) == [
        "aoss:APIAccessAll",
        "dynamodb:BatchGetItem",
        "dynamodb:DeleteItem",
        "dynamodb:DescribeStream",
        "dynamodb:GetItem",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
        "dynamodb:PartiQLInsert",
        "dynamodb:PartiQLUpdate",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
        "es:ESHttpGet",
        "es:ESHttpPost",
        "es:ESHttpPut",
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKey",
        "lambda:InvokeFunction",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "redshift-data:BatchExecuteStatement",
        "redshift-data:CancelStatement",
        "redshift-data:DescribeStatement",
        "redshift-data:ExecuteStatement",
        "redshift-data:GetStatementResult",
        "redshift-serverless:GetCredentials",
        "redshift:GetClusterCredentials",
        "redshift:GetClusterCredentialsWithIAM",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "secretsmanager:GetSecretValue",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    ]  # fmt: skip


@pytest.mark.parametrize("bucket", ["DataBucket", "DeadLetterBucket"])
def test_buckets_are_private_encrypted_versioned_and_kept(template: Template, bucket: str) -> None:
    about = properties(template, bucket)
    assert set(about["PublicAccessBlockConfiguration"].values()) == {True}
    [encryption] = about["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert {each["SSEAlgorithm"] for each in encryption["ServerSideEncryptionByDefault"]["Fn::If"][1:]} == {
        "AES256",
        "aws:kms",
    }
    assert about["VersioningConfiguration"] == {"Status": "Enabled"}
    assert template["Resources"][bucket]["DeletionPolicy"] == "Retain"


@pytest.mark.parametrize("bucket", ["DataBucket", "DeadLetterBucket"])
def test_buckets_drop_unfinished_uploads_and_old_versions(template: Template, bucket: str) -> None:
    rules = properties(template, bucket)["LifecycleConfiguration"]["Rules"]
    assert {"DaysAfterInitiation": 7} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]
    assert [rule["NoncurrentVersionExpiration"] for rule in rules if "NoncurrentVersionExpiration" in rule] == [
        {"NoncurrentDays": {"Ref": "NoncurrentVersionDays"}}
    ]


def test_of_the_archive_nothing_expires_but_what_was_emptied(template: Template) -> None:
    rules = properties(template, "DataBucket")["LifecycleConfiguration"]["Rules"]
    assert [rule for rule in rules if "ExpirationInDays" in rule] == [
        {
            "Id": "ExpireEmptiedObjects",
            "Status": "Enabled",
            "ObjectSizeLessThan": "33",
            "ExpirationInDays": {"Ref": "EmptiedObjectDays"},
        }
    ]


@pytest.mark.parametrize(("compression", "level"), [("gzip", 3), ("zstd", 19)])
def test_an_emptied_object_is_small_enough_to_expire_and_one_with_an_event_is_not(
    compression: Compression, level: int
) -> None:
    # Shorter than any line that a sink writes: an event with nothing but its id, whose digits even repeat.
    line = b'{"_event_id":"shardId-000000000000:00200"}\n'
    empty = empty_object(f"key.{SUFFIX[compression]}", epoch=7)
    assert len(empty) < 33 <= len(compressor(compression, level)(line, 7))


def test_emptied_objects_outlive_every_record_that_an_attempt_may_still_hold(template: Template) -> None:
    ages = template["Parameters"]["MaximumRecordAgeInSeconds"]["AllowedValues"]
    assert template["Parameters"]["EmptiedObjectDays"]["MinValue"] * 86400 > max(ages)


@pytest.mark.parametrize(
    ("policy", "resource"), [("DataBucketPolicy", "DataBucket"), ("DeadLetterBucketPolicy", "DeadLetterBucket")]
)
def test_buckets_refuse_anything_but_tls(template: Template, policy: str, resource: str) -> None:
    [statement] = properties(template, policy)["PolicyDocument"]["Statement"]
    assert statement == {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [{"Fn::GetAtt": [resource, "Arn"]}, {"Fn::Sub": f"${{{resource}.Arn}}/*"}],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_the_stream_is_encrypted_with_kms(template: Template) -> None:
    assert properties(template, "Stream")["StreamEncryption"] == {
        "EncryptionType": "KMS",
        "KeyId": {"Fn::If": ["CustomerKey", {"Ref": "KmsKeyArn"}, "alias/aws/kinesis"]},
    }


def test_the_progress_table_is_protected_restorable_and_kept(template: Template) -> None:
    table = template["Resources"]["ProgressTable"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert references(template, table["Properties"]["DeletionProtectionEnabled"]) == {"TableDeletionProtection"}
    assert template["Parameters"]["TableDeletionProtection"]["Default"] == "true"


def test_the_log_expires_and_the_function_writes_to_it(template: Template) -> None:
    assert properties(template, "StreamLogGroup")["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert properties(template, "StreamFunction")["LoggingConfig"] == {"LogGroup": {"Ref": "StreamLogGroup"}}


def test_the_recovery_function_is_built_and_set_up_as_the_stream_function_is(template: Template) -> None:
    stream, recovery = properties(template, "StreamFunction"), properties(template, "RecoveryFunction")
    same = ("CodeUri", "Runtime", "Architectures", "MemorySize", "Tracing")
    assert [recovery[name] for name in same] == [stream[name] for name in same]
    metadata = [template["Resources"][name]["Metadata"] for name in ("StreamFunction", "RecoveryFunction")]
    assert metadata[0] == metadata[1]
    # The version of the pipeline, and with it what is made of a record, follows from the variables.
    variables = recovery["Environment"]["Variables"]
    own = {
        "AETHERSTREAM_STREAM": {"Fn::GetAtt": ["Stream", "Arn"]},
        "AETHERSTREAM_DEAD_LETTERS": {"Ref": "DeadLetterBucket"},
        "AETHERSTREAM_FUNCTION": {"Ref": "StreamFunction"},
    }
    assert variables == stream["Environment"]["Variables"] | own


def test_the_recovery_function_may_change_nothing_but_data_and_progress(template: Template) -> None:
    [policy, *_] = properties(template, "RecoveryFunctionRole")["Policies"]
    granted = {each["Sid"]: (each["Action"], each["Resource"]) for each in policy["PolicyDocument"]["Statement"]}
    assert granted == {
        "ReadAndWriteObjects": (["s3:GetObject", "s3:PutObject"], {"Fn::Sub": "${DataBucket.Arn}/*"}),
        "FindObjects": ("s3:ListBucket", {"Fn::GetAtt": ["DataBucket", "Arn"]}),
        "ReadDeadLetters": ("s3:GetObject", {"Fn::Sub": "${DeadLetterBucket.Arn}/aws/lambda/*"}),
        "LearnWhichDeadLettersAreGone": ("s3:ListBucket", {"Fn::GetAtt": ["DeadLetterBucket", "Arn"]}),
        "HoldLeases": ("dynamodb:PutItem", {"Fn::GetAtt": ["ProgressTable", "Arn"]}),
        "ReadTheStreamAgain": (
            ["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"],
            {"Fn::GetAtt": ["Stream", "Arn"]},
        ),
        "WriteTheLog": (
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            {"Fn::GetAtt": ["RecoveryLogGroup", "Arn"]},
        ),
    }


def test_dead_letters_are_redriven_by_themselves_only_when_that_is_switched_on(template: Template) -> None:
    assert template["Parameters"]["RedriveEnabled"]["Default"] == "false"
    assert template["Conditions"]["Redriving"] == {"Fn::Equals": [{"Ref": "RedriveEnabled"}, "true"]}
    mapping = template["Resources"]["RedriveMapping"]
    assert mapping["Condition"] == "Redriving"
    assert mapping["Properties"]["EventSourceArn"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert mapping["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_queue_hides_a_message_six_times_as_long_as_the_function_may_run(template: Template) -> None:
    seconds = properties(template, "RecoveryFunction")["Timeout"]
    assert properties(template, "DeadLetterQueue")["VisibilityTimeout"] == 6 * seconds


def test_the_outputs_have_their_agreed_names(template: Template) -> None:
    assert list(template["Outputs"]) == [
        "StreamName",
        "StreamArn",
        "BucketName",
        "DeadLetterBucketName",
        "DeadLetterQueueUrl",
        "ProgressTableName",
        "FunctionName",
        "FunctionAliasArn",
        "RecoveryFunctionName",
        "StateTableName",
        "EmitterFunctionName",
        "CloserFunctionName",
        "DrainFunctionName",
        "OpenSearchRoleArns",
        "OpenSearchEndpoint",
        "LoaderFunctionName",
        "LoadQueueUrl",
        "LoadDeadLetterQueueUrl",
        "RedshiftCopyPolicyArn",
        "RedshiftEndpoint",
        "RedshiftSecret",
        "MappingId",
        "LogGroupName",
    ]


def test_the_catalogue_has_the_columns_that_the_example_writes(template: Template) -> None:
    schema = json.loads((ROOT / "pipelines/flights.schema.json").read_text())
    sent = set(schema["properties"])
    dropped = {"year", "month", "day", "hour", "minute", "dest", "tailnum"}
    added = {"_event_id", "airline", "delayed", "destination", "aircraft"}
    table = properties(template, "CatalogFlights")["TableInput"]
    columns = {column["Name"] for column in table["StorageDescriptor"]["Columns"]}
    assert columns == sent - dropped | added
    assert [key["Name"] for key in table["PartitionKeys"]] == ["day"]
