"""What the template makes, grants and refuses around Redshift, for each way to reach one."""

import re
from typing import Any

import pytest

from tests.deployment.cloudformation import ROOT, defaults, made, refused, rendered

Template = dict[str, Any]

ENDPOINT = "flights.123456789012.eu-central-1.redshift-serverless.amazonaws.com:5439/dev"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:redshift!flights-admin-AbCdEf"  # noqa: S105 - a name
WORKGROUP = "arn:aws:redshift-serverless:eu-central-1:123456789012:workgroup/0f1c0f1c-0f1c-0f1c-0f1c-0f1c0f1c0f1c"
ROLE = "arn:aws:iam::123456789012:role/copy"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:pages"
NETWORK = {
    "VpcSubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1,subnet-0123456789abcdef2",
    "VpcSecurityGroupIds": "sg-0123456789abcdef0",
}

WITHOUT: dict[str, str] = {}
GIVEN = {"RedshiftEndpoint": ENDPOINT, "RedshiftSecretArn": SECRET}
NAMED_WORKGROUP = {"RedshiftWorkgroup": "flights", "RedshiftWorkgroupArn": WORKGROUP}
OF_WORKGROUP = {"RedshiftEndpoint": ENDPOINT, "RedshiftAuth": "iam", **NAMED_WORKGROUP}
OF_CLUSTER = {"RedshiftEndpoint": ENDPOINT, "RedshiftAuth": "iam", "RedshiftCluster": "flights"}
AS_USER = OF_CLUSTER | {"RedshiftDbUser": "loader"}
CREATED = {"RedshiftCreate": "true", **NETWORK}
CREATED_APART = {"RedshiftCreate": "true", "RedshiftDataApi": "true"}
WAYS = {
    "without": WITHOUT,
    "secret": GIVEN,
    "workgroup": OF_WORKGROUP,
    "cluster": OF_CLUSTER,
    "user": AS_USER,
    "created": CREATED,
    "created apart": CREATED_APART,
}

ALARMS = [
    "LoadAgeAlarm",
    "LoadDeadLettersAlarm",
    "LoadFailedAlarm",
    "LoadMisconfiguredAlarm",
    "LoadQueueAlarm",
    "LoadRewrittenAlarm",
    "LoadSetAsideAlarm",
]
LOADER = [
    "LoadDeadLetterQueue",
    "LoadDeadLetterQueuePolicy",
    "LoadMapping",
    "LoadQueue",
    "LoadQueuePolicy",
    "LoaderFunction",
    "LoaderFunctionRole",
    "LoaderLogGroup",
    "WarehouseCopyPolicy",
]
OWN = ["WarehouseCopyRole", "WarehouseNamespace", "WarehouseSecret", "WarehouseWorkgroup"]


def resources(template: Template, **parameters: object) -> dict[str, Any]:
    return made(template, defaults(template, **parameters))


def properties(template: Template, resource: str, **parameters: object) -> dict[str, Any]:
    found: dict[str, Any] = resources(template, **parameters)[resource]["Properties"]
    return found


def sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}


def arn(resource: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [resource, "Arn"]}


def granted(template: Template, **parameters: object) -> dict[str, tuple[Any, Any]]:
    """What the loader may do: actions and resources by the name of the statement."""
    found = {}
    for policy in properties(template, "LoaderFunctionRole", **parameters)["Policies"]:
        for each in policy["PolicyDocument"]["Statement"]:
            assert each["Effect"] == "Allow"
            found[each["Sid"]] = (each["Action"], each["Resource"])
    return found


def changes(template: Template, **parameters: object) -> set[str]:
    """What is made with these parameters and not without."""
    return resources(template, **parameters).keys() - resources(template).keys()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_to_reach_redshift_is_taken(template: Template, way: dict[str, str]) -> None:
    assert refused(template, defaults(template, **way)) == []


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"RedshiftEndpoint": ENDPOINT}, "WarehouseSecretIsNamed"),
        (OF_WORKGROUP | {"RedshiftSecretArn": SECRET}, "WarehouseSecretIsNamed"),
        ({"RedshiftEndpoint": ENDPOINT, "RedshiftAuth": "iam"}, "WarehouseIsNamed"),
        (GIVEN | {"RedshiftDataApi": "true"}, "StatementsNameTheirWarehouse"),
        (OF_WORKGROUP | {"RedshiftCluster": "flights"}, "WorkgroupOrCluster"),
        (GIVEN | {"RedshiftWorkgroup": "flights"}, "WorkgroupAndItsArn"),
        (GIVEN | {"RedshiftWorkgroupArn": WORKGROUP}, "WorkgroupAndItsArn"),
        (OF_WORKGROUP | {"RedshiftDbUser": "loader"}, "DatabaseUserOfACluster"),
        ({"RedshiftSecretArn": SECRET}, "PartsOfAWarehouse"),
        ({"RedshiftApplyAtDeploy": "true"}, "PartsOfAWarehouse"),
        (GIVEN | {"RedshiftBatchWindow": "0"}, "LargeBatchesAreGathered"),
        ({"RedshiftCreate": "true"}, "CreatedWarehouseIsTheOnlyOne"),
        (CREATED | {"RedshiftSecretArn": SECRET}, "CreatedWarehouseIsTheOnlyOne"),
        (CREATED | {"RedshiftCopyRoleArn": ROLE}, "CreatedWarehouseIsTheOnlyOne"),
        (CREATED | {"RedshiftCluster": "flights"}, "CreatedWarehouseIsTheOnlyOne"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    template: Template, wrong: dict[str, str], rule: str
) -> None:
    assert refused(template, defaults(template, **wrong)) == [rule]


def test_an_endpoint_is_given_or_created(template: Template) -> None:
    both = defaults(template, **CREATED, **GIVEN)
    assert set(refused(template, both)) == {"CreatedWarehouseIsTheOnlyOne"}


@pytest.mark.parametrize(
    ("parameter", "taken", "refused_"),
    [
        ("RedshiftEndpoint", [ENDPOINT, "127.0.0.1:5439/dev", "w.example/dev", ""], ["w.example", "w.example:x/dev"]),
        ("RedshiftSecretArn", [SECRET, ""], ["flights"]),
        ("RedshiftWorkgroupArn", [WORKGROUP, ""], ["arn:aws:redshift:eu-central-1:123456789012:workgroup/a"]),
        ("RedshiftCopyRoleArn", [ROLE, f"{ROLE},{ROLE}", ""], [f"{ROLE},", f"{ROLE},other", "copy"]),
        ("RedshiftStagingPrefix", ["flights/staging/", "a/"], ["flights/staging", "/flights/", "a//", ""]),
    ],
)
def test_the_pattern_of_a_parameter_takes_what_aws_shows_and_nothing_that_would_fail_later(
    template: Template, parameter: str, taken: list[str], refused_: list[str]
) -> None:
    pattern = template["Parameters"][parameter]["AllowedPattern"]
    # CloudFormation holds the whole value to the pattern.
    assert [each for each in taken if not re.fullmatch(pattern, each)] == []
    assert [each for each in refused_ if re.fullmatch(pattern, each)] == []


@pytest.mark.parametrize("way", [GIVEN, OF_WORKGROUP, OF_CLUSTER])
def test_a_warehouse_that_is_there_brings_the_loader_and_its_alarms(template: Template, way: dict[str, str]) -> None:
    assert changes(template, **way) == {*LOADER, *ALARMS}


def test_a_created_warehouse_brings_its_role_and_its_secret_too(template: Template) -> None:
    assert changes(template, **CREATED) == {*LOADER, *ALARMS, *OWN, "NetworkPolicy"}
    assert changes(template, **CREATED_APART) == {*LOADER, *ALARMS, *OWN}


def test_the_one_machine_stack_has_no_alarms(template: Template) -> None:
    assert changes(template, **GIVEN, BuildFor="host") == {*LOADER}


def test_without_redshift_the_bucket_announces_nothing_and_staged_objects_have_no_end(template: Template) -> None:
    bucket = properties(template, "DataBucket")
    assert "NotificationConfiguration" not in bucket
    assert [rule["Id"] for rule in bucket["LifecycleConfiguration"]["Rules"]] == [
        "AbortUnfinishedUploads",
        "ExpireNoncurrentVersions",
        "ExpireEmptiedObjects",
        "ExpireRedoLogs",
    ]


def test_staged_objects_are_announced_by_prefix_and_suffix_once_the_queue_lets_s3_in(template: Template) -> None:
    bucket = properties(template, "DataBucket", **GIVEN)
    # Naming the policy is what makes CloudFormation make it first.
    queue = {"Fn::Select": [0, [arn("LoadQueue"), {"Ref": "LoadQueuePolicy"}]]}
    prefix = {"Name": "prefix", "Value": {"Ref": "RedshiftStagingPrefix"}}
    assert bucket["NotificationConfiguration"]["QueueConfigurations"] == [
        {
            "Event": "s3:ObjectCreated:*",
            "Queue": queue,
            "Filter": {"S3Key": {"Rules": [prefix, {"Name": "suffix", "Value": suffix}]}},
        }
        for suffix in (".ndjson.gz", ".ndjson.zst")
    ]


def test_of_what_is_staged_nothing_outlives_its_days(template: Template) -> None:
    rules = properties(template, "DataBucket", **GIVEN)["LifecycleConfiguration"]["Rules"]
    assert rules[-1] == {
        "Id": "ExpireStagedObjects",
        "Status": "Enabled",
        "Prefix": {"Ref": "RedshiftStagingPrefix"},
        "ExpirationInDays": {"Ref": "StagedObjectDays"},
    }


def test_staged_objects_outlive_their_announcements(template: Template) -> None:
    seconds = properties(template, "LoadQueue", **GIVEN)["MessageRetentionPeriod"]
    assert template["Parameters"]["StagedObjectDays"]["MinValue"] * 86400 > seconds


def test_only_the_data_bucket_may_send_to_the_queue(template: Template) -> None:
    allowed, refused_ = properties(template, "LoadQueuePolicy", **GIVEN)["PolicyDocument"]["Statement"]
    [name, variables] = properties(template, "DataBucket", **GIVEN)["BucketName"]["Fn::Sub"]
    source = {"Fn::Sub": [f"arn:${{AWS::Partition}}:s3:::{name}", variables]}
    assert (allowed["Principal"], allowed["Action"], allowed["Resource"], allowed["Condition"]) == (
        {"Service": "s3.amazonaws.com"},
        "sqs:SendMessage",
        arn("LoadQueue"),
        {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            "ArnEquals": {"aws:SourceArn": source},
        },
    )
    assert (refused_["Effect"], refused_["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_a_message_waits_for_two_weeks_and_is_not_given_up_for_a_shard_that_is_blocked(template: Template) -> None:
    queue = properties(template, "LoadQueue", **GIVEN)
    loader = properties(template, "LoaderFunction", **GIVEN)
    assert (queue["MessageRetentionPeriod"], queue["SqsManagedSseEnabled"]) == (14 * 86400, True)
    assert queue["VisibilityTimeout"] == 6 * loader["Timeout"]
    # Put back after one minute, then two, and so on up to a quarter of an hour: seven days are some 680 times.
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": arn("LoadDeadLetterQueue"), "maxReceiveCount": 1000}
    dead = properties(template, "LoadDeadLetterQueue", **GIVEN)
    assert (dead["MessageRetentionPeriod"], dead["SqsManagedSseEnabled"]) == (14 * 86400, True)


def test_the_loader_is_called_in_batches_whose_failures_it_reports(template: Template) -> None:
    assert properties(template, "LoadMapping", **GIVEN) == {
        "EventSourceArn": arn("LoadQueue"),
        "FunctionName": {"Ref": "LoaderFunction"},
        "BatchSize": {"Ref": "RedshiftBatchSize"},
        "MaximumBatchingWindowInSeconds": {"Ref": "RedshiftBatchWindow"},
        "ScalingConfig": {"MaximumConcurrency": {"Ref": "RedshiftLoaders"}},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }


def test_the_loader_is_built_as_the_stream_function_is_and_sees_what_it_sees(template: Template) -> None:
    stream, loader = (template["Resources"][name] for name in ("StreamFunction", "LoaderFunction"))
    assert loader["Metadata"] == stream["Metadata"]
    for way in (GIVEN, OF_WORKGROUP, AS_USER, CREATED):
        seen, sees = (properties(template, name, **way) for name in ("StreamFunction", "LoaderFunction"))
        assert [sees[name] for name in ("CodeUri", "Runtime", "Architectures", "Tracing")] == [
            seen[name] for name in ("CodeUri", "Runtime", "Architectures", "Tracing")
        ]
        own = {
            "AETHERSTREAM_STREAM": arn("Stream"),
            "AETHERSTREAM_LOAD_QUEUE": {"Ref": "LoadQueue"},
            "AETHERSTREAM_LOAD_DEAD_LETTERS": {"Ref": "LoadDeadLetterQueue"},
        }
        assert sees["Environment"]["Variables"] == seen["Environment"]["Variables"] | own
    assert (loader["Properties"]["Handler"], loader["Properties"]["Timeout"]) == ("handlers.loader.handler", 900)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (WITHOUT, {"TLS": "on"}),
        (GIVEN, {"ENDPOINT": ENDPOINT, "AUTH": "secret", "SECRET": SECRET, "STAGING": "flights/staging/", "TLS": "on"}),
        (
            OF_WORKGROUP | {"RedshiftCopyRoleArn": ROLE},
            {
                "ENDPOINT": ENDPOINT,
                "AUTH": "iam",
                "WORKGROUP": "flights",
                "COPY_ROLE": ROLE,
                "STAGING": "flights/staging/",
                "TLS": "on",
            },
        ),
        (
            AS_USER | {"BuildFor": "host"},
            {
                "ENDPOINT": ENDPOINT,
                "AUTH": "iam",
                "CLUSTER": "flights",
                "USER": "loader",
                "STAGING": "flights/staging/",
                "TLS": "off",
            },
        ),
    ],
)
def test_the_functions_learn_where_redshift_is_and_how_it_is_entered(
    template: Template, way: dict[str, str], expected: dict[str, str]
) -> None:
    parameters = defaults(template, **way)
    variables = template["Resources"]["StreamFunction"]["Properties"]["Environment"]["Variables"]
    names = [name for name in variables if name.startswith("AETHERSTREAM_REDSHIFT_")]
    found = {name: rendered(template, variables[name], parameters) for name in names}
    assert {name: value for name, value in found.items() if value} == {
        f"AETHERSTREAM_REDSHIFT_{name}": value for name, value in expected.items()
    }


@pytest.mark.parametrize("name", ["StreamFunction", "RecoveryFunction", "LoaderFunction"])
def test_the_functions_learn_of_the_created_warehouse(template: Template, name: str) -> None:
    variables = properties(template, name, **CREATED)["Environment"]["Variables"]
    found = [variables[f"AETHERSTREAM_REDSHIFT_{each}"] for each in ("ENDPOINT", "SECRET", "WORKGROUP", "COPY_ROLE")]
    assert found == [
        sub("${WarehouseWorkgroup.Workgroup.Endpoint.Address}/aetherstream"),
        {"Ref": "WarehouseSecret"},
        {"Ref": "WarehouseWorkgroup"},
        arn("WarehouseCopyRole"),
    ]


BASE = {
    "LookAtStagedObjects": ("s3:GetObject", sub("${DataBucket.Arn}/${RedshiftStagingPrefix}*")),
    "WriteManifests": (
        ["s3:DeleteObject", "s3:PutObject"],
        sub("${DataBucket.Arn}/${RedshiftStagingPrefix}*.manifests/*"),
    ),
    "FindObjects": ("s3:ListBucket", arn("DataBucket")),
    "LookAtProgress": ("dynamodb:PutItem", arn("ProgressTable")),
    "TakeAnnouncements": (
        [
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
        ],
        arn("LoadQueue"),
    ),
    "SetMessagesAside": (["sqs:GetQueueAttributes", "sqs:SendMessage"], arn("LoadDeadLetterQueue")),
    "WriteTheLog": (["logs:CreateLogStream", "logs:PutLogEvents"], arn("LoaderLogGroup")),
}
CLUSTER = "arn:${AWS::Partition}:redshift:${AWS::Region}:${AWS::AccountId}"
DATABASE = {
    "Fn::Sub": [
        f"{CLUSTER}:dbname:${{RedshiftCluster}}/${{Database}}",
        {"Database": {"Fn::Select": [1, {"Fn::Split": ["/", {"Ref": "RedshiftEndpoint"}]}]}},
    ]
}


@pytest.mark.parametrize(
    ("way", "more"),
    [
        (GIVEN, {"ReadTheSecret": ("secretsmanager:GetSecretValue", {"Ref": "RedshiftSecretArn"})}),
        (CREATED, {"ReadTheSecret": ("secretsmanager:GetSecretValue", {"Ref": "WarehouseSecret"})}),
        (
            OF_WORKGROUP,
            {"EnterTheWorkgroup": ("redshift-serverless:GetCredentials", {"Ref": "RedshiftWorkgroupArn"})},
        ),
        (OF_CLUSTER, {"EnterTheCluster": ("redshift:GetClusterCredentialsWithIAM", DATABASE)}),
        (
            AS_USER,
            {
                "EnterTheCluster": (
                    "redshift:GetClusterCredentials",
                    [sub(f"{CLUSTER}:dbuser:${{RedshiftCluster}}/${{RedshiftDbUser}}"), DATABASE],
                )
            },
        ),
    ],
    ids=["secret", "created", "workgroup", "cluster", "user"],
)
def test_the_loader_may_enter_the_one_warehouse_and_change_nothing_but_manifests(
    template: Template, way: dict[str, str], more: dict[str, Any]
) -> None:
    assert granted(template, **way) == BASE | more


@pytest.mark.parametrize(
    ("way", "warehouse"),
    [
        (GIVEN | NAMED_WORKGROUP, {"Ref": "RedshiftWorkgroupArn"}),
        (GIVEN | {"RedshiftCluster": "flights"}, sub(f"{CLUSTER}:cluster:${{RedshiftCluster}}")),
        (CREATED_APART, {"Fn::GetAtt": ["WarehouseWorkgroup", "Workgroup.WorkgroupArn"]}),
    ],
)
def test_the_data_api_takes_the_loaders_statements_for_one_warehouse(
    template: Template, way: dict[str, str], warehouse: Any
) -> None:
    found = granted(template, **way | {"RedshiftDataApi": "true"})
    submit = ["redshift-data:BatchExecuteStatement", "redshift-data:ExecuteStatement"]
    assert found["SubmitStatements"] == (submit, warehouse)
    roles = properties(template, "LoaderFunctionRole", **way | {"RedshiftDataApi": "true"})
    [own, memory] = [
        each
        for policy in roles["Policies"]
        for each in policy["PolicyDocument"]["Statement"]
        if each["Sid"] in ("FollowItsOwnStatements", "RememberLoads")
    ]
    assert own["Condition"] == {"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}}
    assert memory["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["#load#*"]}}


def test_without_the_data_api_the_loader_reads_no_table(template: Template) -> None:
    actions = [action for action, _ in granted(template, **GIVEN).values()]
    assert "dynamodb:GetItem" not in actions


def test_copy_reads_what_was_staged_and_nothing_else(template: Template) -> None:
    policy = properties(template, "WarehouseCopyPolicy", **CREATED)["PolicyDocument"]["Statement"]
    assert [(each["Action"], each["Resource"], each.get("Condition")) for each in policy] == [
        ("s3:GetObject", sub("${DataBucket.Arn}/${RedshiftStagingPrefix}*"), None),
        (
            "s3:ListBucket",
            arn("DataBucket"),
            {"StringLike": {"s3:prefix": sub("${RedshiftStagingPrefix}*")}},
        ),
    ]
    role = properties(template, "WarehouseCopyRole", **CREATED)
    assert (role.get("Policies"), role["ManagedPolicyArns"]) == (None, [{"Ref": "WarehouseCopyPolicy"}])


def test_the_created_warehouse_is_closed_encrypted_and_kept(template: Template) -> None:
    found = resources(template, **CREATED)
    for name in ("WarehouseNamespace", "WarehouseWorkgroup", "WarehouseSecret"):
        assert (found[name]["DeletionPolicy"], found[name]["UpdateReplacePolicy"]) == ("Retain", "Retain"), name
    workgroup, namespace = (found[name]["Properties"] for name in ("WarehouseWorkgroup", "WarehouseNamespace"))
    assert workgroup["PubliclyAccessible"] is False
    assert workgroup["ConfigParameters"] == [{"ParameterKey": "require_ssl", "ParameterValue": "true"}]
    assert workgroup["SubnetIds"] == {"Fn::Split": [",", {"Ref": "VpcSubnetIds"}]}
    # Redshift encrypts a namespace in every case; with a key of its own where none is named.
    key = properties(template, "WarehouseNamespace", **CREATED, KmsKeyArn="arn:aws:kms:eu-central-1:123456789012:key/a")
    assert (namespace.get("KmsKeyId"), key["KmsKeyId"]) == (None, {"Ref": "KmsKeyArn"})
    assert namespace["AdminUserPassword"] == sub("{{resolve:secretsmanager:${WarehouseSecret}:SecretString:password}}")


def test_without_a_network_the_created_warehouse_is_in_the_default_one(template: Template) -> None:
    workgroup = properties(template, "WarehouseWorkgroup", **CREATED_APART)
    assert workgroup.keys() & {"SubnetIds", "SecurityGroupIds"} == set()


def test_tables_are_made_at_deployment_when_that_is_asked_for_and_again_with_each_version(template: Template) -> None:
    assert changes(template, **GIVEN, RedshiftApplyAtDeploy="true") == {*LOADER, *ALARMS, "WarehouseTables"}
    assert properties(template, "WarehouseTables", **GIVEN, RedshiftApplyAtDeploy="true") == {
        "ServiceToken": arn("LoaderFunction"),
        "ServiceTimeout": 900,
        "Pipeline": {"Ref": "PipelineFile"},
        "Version": {"Ref": "StreamFunction.Version"},
    }


@pytest.mark.parametrize("way", [GIVEN, OF_CLUSTER])
def test_the_loader_is_in_a_vpc_only_where_one_is_named(template: Template, way: dict[str, str]) -> None:
    assert "VpcConfig" not in properties(template, "LoaderFunction", **way)
    assert properties(template, "LoaderFunction", **way, **NETWORK)["VpcConfig"] == {
        "SubnetIds": {"Fn::Split": [",", {"Ref": "VpcSubnetIds"}]},
        "SecurityGroupIds": {"Fn::Split": [",", {"Ref": "VpcSecurityGroupIds"}]},
    }
    assert {"Ref": "LoaderFunctionRole"} in properties(template, "NetworkPolicy", **way, **NETWORK)["Roles"]


@pytest.mark.parametrize("name", ALARMS)
def test_alarms_are_sent_to_the_topic_if_there_is_one(template: Template, name: str) -> None:
    quiet, loud = properties(template, name, **GIVEN), properties(template, name, **GIVEN, AlarmTopicArn=TOPIC)
    assert (quiet["AlarmActions"], loud["AlarmActions"]) == ([], [{"Ref": "AlarmTopicArn"}])


@pytest.mark.parametrize("name", ALARMS)
def test_what_the_alarms_ask_for_is_published(template: Template, name: str) -> None:
    alarm = properties(template, name, **GIVEN)
    if alarm.get("Namespace") == "AWS/SQS":
        metrics = {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"}
        assert alarm["MetricName"] in metrics
        return
    query = alarm["Metrics"][0]["Expression"]["Fn::Sub"]
    [metric] = re.findall(r"^SELECT (?:SUM|MAX)\((\w+)\) FROM \"\$\{MetricsNamespace\}\" WHERE service = ", query)
    assert f'"{metric}"' in (ROOT / "aetherstream/loader/report.py").read_text()


@pytest.mark.parametrize("changed", [GIVEN, OF_WORKGROUP, CREATED])
def test_staging_that_begins_makes_a_new_version_of_the_stream_function(
    template: Template, changed: dict[str, str]
) -> None:
    description = template["Resources"]["StreamFunction"]["Properties"]["VersionDescription"]
    network = {name: value for name, value in changed.items() if name in NETWORK}
    before, after = (rendered(template, description, defaults(template, **way)) for way in (network, changed))
    assert before != after


def test_numbers_have_the_bounds_of_lambda(template: Template) -> None:
    bounds = {
        name: (template["Parameters"][name]["MinValue"], template["Parameters"][name]["MaxValue"])
        for name in ("RedshiftBatchSize", "RedshiftBatchWindow", "RedshiftLoaders")
    }
    # AWS: CreateEventSourceMapping, BatchSize, MaximumBatchingWindowInSeconds and ScalingConfig.
    assert bounds == {"RedshiftBatchSize": (1, 10000), "RedshiftBatchWindow": (0, 300), "RedshiftLoaders": (2, 1000)}
