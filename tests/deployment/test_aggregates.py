"""What the template makes and grants for aggregates."""

import re
from typing import Any

import pytest

from tests.deployment.cloudformation import ROOT, defaults, made, refused, rendered

Template = dict[str, Any]

TOPIC = "arn:aws:sns:eu-central-1:123456789012:pages"
OPEN = {"OpenSearchEndpoint": "http://search.example:9200", "OpenSearchAuth": "none"}
DOMAIN = {
    "OpenSearchEndpoint": "https://search-flights-abc.eu-central-1.es.amazonaws.com",
    "OpenSearchDomainArn": "arn:aws:es:eu-central-1:123456789012:domain/flights",
}
NETWORK = {"VpcSubnetIds": "subnet-0123456789abcdef0", "VpcSecurityGroupIds": "sg-0123456789abcdef0"}
OFF = {"AggregatesEnabled": "false"}
WINDOWS = {"LambdaWindowsEnabled": "true"}

OF_LAMBDA = ["CloserFailedAlarm", "EmitterAgeAlarm", "EmitterFailedAlarm"]
OWN = ["ResultsRefusedAlarm", "WatermarkLagAlarm", "WindowsGivenUpAlarm"]
ALARMS = sorted([*OF_LAMBDA, *OWN])
PARTS = [
    "CloserFunction",
    "CloserFunctionRole",
    "CloserLogGroup",
    "CloserSchedule",
    "CloserScheduleRole",
    "EmitterFunction",
    "EmitterFunctionRole",
    "EmitterLogGroup",
    "EmitterMapping",
    "StateTable",
]
WINDOW = ["WindowFunction", "WindowFunctionRole", "WindowLogGroup", "WindowMapping"]
STATES = {"Fn::GetAtt": ["StateTable", "Arn"]}


def resources(template: Template, **parameters: object) -> dict[str, Any]:
    return made(template, defaults(template, **parameters))


def properties(template: Template, resource: str, **parameters: object) -> dict[str, Any]:
    found: dict[str, Any] = resources(template, **parameters)[resource]["Properties"]
    return found


def sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}


def arn(resource: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [resource, "Arn"]}


def granted(template: Template, role: str, **parameters: object) -> dict[str, tuple[Any, Any]]:
    found = {}
    for policy in properties(template, role, **parameters)["Policies"]:
        for each in policy["PolicyDocument"]["Statement"]:
            assert each["Effect"] == "Allow"
            found[each["Sid"]] = (each["Action"], each["Resource"])
    return found


def on_states(template: Template, role: str, **parameters: object) -> list[Any]:
    return [actions for actions, at in granted(template, role, **parameters).values() if at == STATES]


def test_aggregates_have_their_parts_unless_they_are_switched_off(template: Template) -> None:
    assert sorted(resources(template).keys() - resources(template, **OFF).keys()) == sorted([*PARTS, *ALARMS])
    assert resources(template, **OFF).keys() - resources(template).keys() == set()


def test_the_one_machine_stack_has_no_alarms(template: Template) -> None:
    assert sorted(resources(template).keys() - resources(template, BuildFor="host").keys()) == ALARMS


def test_the_window_function_is_there_only_where_it_is_asked_for(template: Template) -> None:
    assert sorted(resources(template, **WINDOWS).keys() - resources(template).keys()) == WINDOW


@pytest.mark.parametrize("way", [{}, OFF, WINDOWS, OFF | WINDOWS, OPEN, DOMAIN | NETWORK])
def test_every_way_is_taken_by_the_rules(template: Template, way: dict[str, str]) -> None:
    assert refused(template, defaults(template, **way)) == []


def test_the_state_table_has_the_keys_the_expiry_and_the_images_that_states_need(template: Template) -> None:
    table = properties(template, "StateTable")
    assert table["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert {each["AttributeType"] for each in table["AttributeDefinitions"]} == {"S"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("way", [{}, {"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/a"}])
def test_the_state_table_is_protected_restorable_encrypted_and_kept_like_the_progress_table(
    template: Template, way: dict[str, str]
) -> None:
    progress, states = (resources(template, **way)[name] for name in ("ProgressTable", "StateTable"))
    same = ("DeletionProtectionEnabled", "PointInTimeRecoverySpecification", "SSESpecification")
    assert [states["Properties"][name] for name in same] == [progress["Properties"][name] for name in same]
    assert (states["DeletionPolicy"], states["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_redo_logs_go_after_a_month_and_only_where_there_are_aggregates(template: Template) -> None:
    rule = {
        "Id": "ExpireRedoLogs",
        "Status": "Enabled",
        "Prefix": {"Ref": "RedoLogPrefix"},
        "ExpirationInDays": 30,
    }
    assert rule in properties(template, "DataBucket")["LifecycleConfiguration"]["Rules"]
    assert rule not in properties(template, "DataBucket", **OFF)["LifecycleConfiguration"]["Rules"]


@pytest.mark.parametrize("name", ["EmitterFunction", "CloserFunction", "WindowFunction"])
def test_the_functions_are_built_and_set_up_as_the_stream_function_is(template: Template, name: str) -> None:
    found = resources(template, **WINDOWS)
    stream, function = (found[each]["Properties"] for each in ("StreamFunction", name))
    same = ("CodeUri", "Runtime", "Architectures", "Tracing")
    assert [function[each] for each in same] == [stream[each] for each in same]
    assert found[name]["Metadata"] == found["StreamFunction"]["Metadata"]
    assert function["Handler"] == f"handlers.{name.removesuffix('Function').lower()}.handler"
    window = {"AETHERSTREAM_WINDOW_SECONDS": {"Ref": "LambdaWindowInSeconds"}}
    own = window if name == "WindowFunction" else {"AETHERSTREAM_STREAM": arn("Stream")}
    assert function["Environment"]["Variables"] == stream["Environment"]["Variables"] | own


@pytest.mark.parametrize(
    ("way", "table", "single"),
    [({}, {"Ref": "StateTable"}, "false"), (OFF, "", "false"), ({"BuildFor": "host"}, {"Ref": "StateTable"}, "true")],
)
def test_the_functions_learn_of_the_table_and_how_it_is_written(
    template: Template, way: dict[str, str], table: Any, single: str
) -> None:
    for name in ("StreamFunction", "RecoveryFunction"):
        variables = properties(template, name, **way)["Environment"]["Variables"]
        found = variables["AETHERSTREAM_STATE_TABLE"], variables["AETHERSTREAM_SINGLE_WRITES"]
        assert found == (table, single), name


def test_switching_aggregates_on_makes_a_new_version_of_the_stream_function(template: Template) -> None:
    description = template["Resources"]["StreamFunction"]["Properties"]["VersionDescription"]
    on, off = (rendered(template, description, defaults(template, **way)) for way in ({}, OFF))
    assert on != off


def test_a_change_of_a_state_is_emitted_until_it_is_taken_or_a_day_old(template: Template) -> None:
    mapping = properties(template, "EmitterMapping", MappingMetrics="none")
    assert mapping == {
        "EventSourceArn": {"Fn::GetAtt": ["StateTable", "StreamArn"]},
        "FunctionName": {"Ref": "EmitterFunction"},
        "Enabled": True,
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 1000,
        "MaximumBatchingWindowInSeconds": {"Ref": "EmitterBatchWindow"},
        "ParallelizationFactor": 1,
        "MaximumRetryAttempts": -1,
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": False,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }


def test_windows_of_lambda_have_the_length_that_is_asked_for_and_one_batch_a_shard(template: Template) -> None:
    mapping = properties(template, "WindowMapping", **WINDOWS)
    assert mapping["TumblingWindowInSeconds"] == {"Ref": "LambdaWindowInSeconds"}
    assert mapping["ParallelizationFactor"] == 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (mapping["EventSourceArn"], mapping["FunctionName"]) == (arn("Stream"), {"Ref": "WindowFunction"})


@pytest.mark.parametrize("role", ["StreamFunctionRole", "RecoveryFunctionRole"])
def test_who_commits_may_fold_states_and_remove_none(template: Template, role: str) -> None:
    fold = ["BatchGetItem", "PartiQLInsert", "PartiQLUpdate", "PutItem", "UpdateItem"]
    assert on_states(template, role) == [[f"dynamodb:{each}" for each in fold]]
    assert on_states(template, role, **OFF) == []


OBJECTS = {
    "LearnWhatIsMissing": ("s3:ListBucket", arn("DataBucket")),
}


def test_the_emitter_reads_states_and_their_stream_and_writes_objects(template: Template) -> None:
    assert granted(template, "EmitterFunctionRole") == OBJECTS | {
        "ReadTheTablesStream": (
            ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
            {"Fn::GetAtt": ["StateTable", "StreamArn"]},
        ),
        "FindTheTablesStream": ("dynamodb:ListStreams", sub("${StateTable.Arn}/stream/*")),
        "ReadStates": (["dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:UpdateItem"], STATES),
        "WriteObjects": (["s3:GetObject", "s3:PutObject"], sub("${DataBucket.Arn}/*")),
        "WriteTheLog": (["logs:CreateLogStream", "logs:PutLogEvents"], arn("EmitterLogGroup")),
    }


def test_the_closer_looks_at_shards_and_folds_and_closes_states(template: Template) -> None:
    close = ["BatchGetItem", "DeleteItem", "PartiQLInsert", "PartiQLUpdate", "PutItem", "Query", "UpdateItem"]
    assert granted(template, "CloserFunctionRole") == OBJECTS | {
        "LookAtProgressAndLetGoOfLogs": ("dynamodb:PutItem", arn("ProgressTable")),
        "LookIntoTheStream": (["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"], arn("Stream")),
        "FoldAndCloseStates": ([f"dynamodb:{each}" for each in close], STATES),
        "ReadAndWriteObjects": (["s3:GetObject", "s3:PutObject"], sub("${DataBucket.Arn}/*")),
        "WriteTheLog": (["logs:CreateLogStream", "logs:PutLogEvents"], arn("CloserLogGroup")),
    }


def test_the_window_function_reads_the_stream_and_writes_objects(template: Template) -> None:
    actions = [actions for actions, _ in granted(template, "WindowFunctionRole", **WINDOWS).values()]
    assert [each for each in actions if "dynamodb" in str(each)] == []


@pytest.mark.parametrize("role", ["EmitterFunctionRole", "CloserFunctionRole", "WindowFunctionRole"])
def test_the_functions_reach_opensearch_and_a_network_as_the_others_do(template: Template, role: str) -> None:
    assert properties(template, role, **WINDOWS)["ManagedPolicyArns"] == []
    managed = sub("arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess")
    both = properties(template, role, **WINDOWS, **DOMAIN, **NETWORK)
    assert both["ManagedPolicyArns"] == [{"Ref": "OpenSearchPolicy"}, managed]
    assert {"Ref": role} in properties(template, "NetworkPolicy", **WINDOWS, **NETWORK)["Roles"]
    function = role.removesuffix("Role")
    assert properties(template, function, **WINDOWS, **NETWORK)["VpcConfig"] == {
        "SubnetIds": {"Fn::Split": [",", {"Ref": "VpcSubnetIds"}]},
        "SecurityGroupIds": {"Fn::Split": [",", {"Ref": "VpcSecurityGroupIds"}]},
    }


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ({}, ["EmitterFunctionRole", "CloserFunctionRole"]),
        (WINDOWS, ["EmitterFunctionRole", "CloserFunctionRole", "WindowFunctionRole"]),
        (OFF, []),
    ],
)
def test_in_a_domain_of_the_stack_those_that_send_results_may_take_them_back(
    template: Template, way: dict[str, str], expected: list[str]
) -> None:
    access = properties(template, "OpenSearchAccess", OpenSearchCreate="true", **way)
    assert access["Aggregators"] == [arn(role) for role in expected]


def test_the_closer_is_called_every_minute_and_a_call_that_fails_is_left_to_the_next(template: Template) -> None:
    schedule = properties(template, "CloserSchedule")
    assert (schedule["ScheduleExpression"], schedule["FlexibleTimeWindow"]) == ("rate(1 minute)", {"Mode": "OFF"})
    assert schedule["Target"] == {
        "Arn": arn("CloserFunction"),
        "RoleArn": arn("CloserScheduleRole"),
        "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
    }
    invoked = properties(template, "CloserFunction")["EventInvokeConfig"]
    assert invoked == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


def test_the_schedule_may_call_the_closer_and_nothing_else(template: Template) -> None:
    role = properties(template, "CloserScheduleRole")
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    [statement] = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert (trust["Principal"], trust["Condition"]) == (
        {"Service": "scheduler.amazonaws.com"},
        {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    )
    assert (statement["Action"], statement["Resource"]) == ("lambda:InvokeFunction", arn("CloserFunction"))


@pytest.mark.parametrize("name", ALARMS)
def test_alarms_are_sent_to_the_topic_if_there_is_one(template: Template, name: str) -> None:
    quiet, loud = properties(template, name), properties(template, name, AlarmTopicArn=TOPIC)
    assert (quiet["AlarmActions"], loud["AlarmActions"]) == ([], [{"Ref": "AlarmTopicArn"}])


@pytest.mark.parametrize("name", OWN)
def test_what_the_alarms_ask_for_is_published(template: Template, name: str) -> None:
    query = properties(template, name)["Metrics"][0]["Expression"]["Fn::Sub"]
    [metric] = re.findall(r"^SELECT (?:SUM|MAX)\((\w+)\) FROM \"\$\{MetricsNamespace\}\" WHERE service = ", query)
    assert f'"{metric}"' in (ROOT / "aetherstream/emission/telemetry.py").read_text()


@pytest.mark.parametrize("name", ALARMS)
def test_alarms_say_where_to_read_on(template: Template, name: str) -> None:
    page = "docs/operations/aggregates.md"
    assert page in properties(template, name)["AlarmDescription"]["Fn::Sub"]
    assert f"**`{name}`**" in (ROOT / page).read_text()


def test_the_age_of_changes_is_compared_in_seconds(template: Template) -> None:
    alarm = properties(template, "EmitterAgeAlarm")
    [millis, age] = alarm["Metrics"]
    assert (millis["Id"], millis["MetricStat"]["Metric"]["MetricName"]) == ("millis", "IteratorAge")
    assert (age["Expression"], alarm["Threshold"]) == ("millis / 1000", {"Ref": "EmitterAgeAlarmSeconds"})


def test_a_closer_that_is_not_called_is_noticed(template: Template) -> None:
    assert properties(template, "CloserFailedAlarm")["TreatMissingData"] == "breaching"


def test_an_alarm_is_raised_before_the_tables_stream_lets_go_of_changes(template: Template) -> None:
    # AWS: DynamoDB Streams keep records for 24 hours.
    assert template["Parameters"]["EmitterAgeAlarmSeconds"]["MaxValue"] == 24 * 3600
