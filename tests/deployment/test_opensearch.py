"""What the template makes, grants and refuses around OpenSearch, for each way to reach one."""

import re
from typing import Any

import pytest

from tests.deployment.cloudformation import ROOT, defaults, holds, made, refused, rendered

Template = dict[str, Any]

ENDPOINT = "https://search-flights-abcdefghijklmnopqrstuvwxyz.eu-central-1.es.amazonaws.com"
DOMAIN = "arn:aws:es:eu-central-1:123456789012:domain/flights"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:flights/opensearch-AbCdEf"  # noqa: S105 - a name
COLLECTION = "arn:aws:aoss:eu-central-1:123456789012:collection/0123456789abcdefghij"
ADMIN = "arn:aws:iam::123456789012:role/People"
NETWORK = {
    "VpcSubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "VpcSecurityGroupIds": "sg-0123456789abcdef0",
}

WITHOUT: dict[str, str] = {}
OPEN = {"OpenSearchEndpoint": "http://search.example:9200", "OpenSearchAuth": "none"}
BASIC = {"OpenSearchEndpoint": "https://search.example", "OpenSearchAuth": "basic", "OpenSearchSecretArn": SECRET}
DOMAIN_GIVEN = {"OpenSearchEndpoint": ENDPOINT, "OpenSearchDomainArn": DOMAIN}
SERVERLESS = {
    "OpenSearchEndpoint": "https://0123456789abcdefghij.eu-central-1.aoss.amazonaws.com",
    "OpenSearchAuth": "aoss",
    "OpenSearchCollectionArn": COLLECTION,
}
CREATED = {"OpenSearchCreate": "true"}
WAYS = {
    "without": WITHOUT,
    "open": OPEN,
    "basic": BASIC,
    "domain": DOMAIN_GIVEN,
    "serverless": SERVERLESS,
    "created": CREATED,
}

DRAIN = ["DrainFunction", "DrainFunctionRole", "DrainLogGroup", "DrainSchedule", "DrainScheduleRole"]
ALARMS = ["ConfigurationAlarm", "SpillAgeAlarm"]
OWN_DOMAIN = [
    "OpenSearchAccess",
    "OpenSearchAccessFunction",
    "OpenSearchAccessLogGroup",
    "OpenSearchAccessPolicy",
    "OpenSearchAccessRole",
    "OpenSearchDomain",
]
FUNCTIONS = ["StreamFunction", "RecoveryFunction", "DrainFunction"]


def resources(template: Template, **parameters: object) -> dict[str, Any]:
    return made(template, defaults(template, **parameters))


def properties(template: Template, resource: str, **parameters: object) -> dict[str, Any]:
    found: dict[str, Any] = resources(template, **parameters)[resource]["Properties"]
    return found


def granted(template: Template, **parameters: object) -> list[tuple[Any, Any]]:
    """What the three functions may do with OpenSearch: actions and resources."""
    policy = properties(template, "OpenSearchPolicy", **parameters)["PolicyDocument"]["Statement"]
    assert {each["Effect"] for each in policy} == {"Allow"}
    return [(each["Action"], each["Resource"]) for each in policy]


def sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}


@pytest.mark.parametrize(
    ("way", "more"),
    [
        ("without", []),
        ("open", DRAIN + ALARMS),
        ("basic", [*DRAIN, *ALARMS, "OpenSearchPolicy"]),
        ("domain", [*DRAIN, *ALARMS, "OpenSearchPolicy"]),
        ("serverless", [*DRAIN, *ALARMS, "OpenSearchPolicy"]),
        ("created", [*DRAIN, *ALARMS, "OpenSearchPolicy", *OWN_DOMAIN]),
    ],
)
def test_only_what_a_way_to_opensearch_needs_is_made(template: Template, way: str, more: list[str]) -> None:
    assert sorted(resources(template, **WAYS[way]).keys() - resources(template).keys()) == sorted(more)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_opensearch_is_taken_by_the_rules(template: Template, way: str) -> None:
    assert refused(template, defaults(template, **WAYS[way])) == []


@pytest.mark.parametrize(
    ("wrong", "rules"),
    [
        (CREATED | {"OpenSearchAuth": "none"}, ["CreatedDomainIsTheOnlyOne"]),
        (CREATED | DOMAIN_GIVEN, ["CreatedDomainIsTheOnlyOne"]),
        (CREATED | NETWORK, ["CreatedDomainIsTheOnlyOne"]),
        (DOMAIN_GIVEN | {"OpenSearchAdminArn": ADMIN}, ["AdminOfTheCreatedDomain"]),
        ({"OpenSearchEndpoint": ENDPOINT}, ["SignedRequestsNameTheirDomain"]),
        ({"OpenSearchDomainArn": DOMAIN}, ["SignedRequestsNameTheirDomain"]),
        (OPEN | {"OpenSearchDomainArn": DOMAIN}, ["DomainTakesSignedRequests"]),
        (BASIC | {"OpenSearchSecretArn": ""}, ["BasicNeedsItsSecret"]),
        (BASIC | {"OpenSearchEndpoint": ""}, ["BasicNeedsItsSecret"]),
        (DOMAIN_GIVEN | {"OpenSearchSecretArn": SECRET}, ["SecretIsForBasic"]),
        (SERVERLESS | {"OpenSearchCollectionArn": ""}, ["ServerlessNamesItsCollection"]),
        (SERVERLESS | {"OpenSearchEndpoint": ""}, ["ServerlessNamesItsCollection"]),
        (OPEN | {"OpenSearchCollectionArn": COLLECTION}, ["CollectionIsForServerless"]),
        ({"VpcSubnetIds": NETWORK["VpcSubnetIds"]}, ["SubnetsAndSecurityGroups"]),
        ({"VpcSecurityGroupIds": NETWORK["VpcSecurityGroupIds"]}, ["SubnetsAndSecurityGroups"]),
    ],
)
def test_contradictions_are_refused(template: Template, wrong: dict[str, str], rules: list[str]) -> None:
    assert refused(template, defaults(template, **wrong)) == rules


@pytest.mark.parametrize("given", [*WAYS.values(), NETWORK, {"OpenSearchAdminArn": ADMIN}])
def test_parameters_have_patterns_that_real_values_fit(template: Template, given: dict[str, str]) -> None:
    patterns = {name: template["Parameters"][name].get("AllowedPattern", ".*") for name in given}
    assert [name for name, value in given.items() if not re.fullmatch(patterns[name], value)] == []


def test_a_server_without_authentication_asks_nothing_of_iam(template: Template) -> None:
    attached = properties(template, "StreamFunctionRole", **OPEN)["ManagedPolicyArns"]
    assert attached == []


def test_a_user_by_password_needs_its_secret_and_no_other(template: Template) -> None:
    assert granted(template, **BASIC) == [("secretsmanager:GetSecretValue", {"Ref": "OpenSearchSecretArn"})]


def test_a_collection_is_used_and_no_other(template: Template) -> None:
    assert granted(template, **SERVERLESS) == [("aoss:APIAccessAll", {"Ref": "OpenSearchCollectionArn"})]


@pytest.mark.parametrize(
    ("way", "domain"), [(DOMAIN_GIVEN, "${OpenSearchDomainArn}"), (CREATED, "${OpenSearchDomain.Arn}")]
)
def test_of_a_domain_the_functions_reach_bulk_requests_and_what_setup_keeps(
    template: Template, way: dict[str, str], domain: str
) -> None:
    assert granted(template, **way) == [
        ("es:ESHttpPost", sub(f"{domain}/_bulk")),
        (
            ["es:ESHttpGet", "es:ESHttpPut"],
            [sub(f"{domain}/_index_template/*"), sub(f"{domain}/_plugins/_ism/policies/*")],
        ),
        ("es:ESHttpGet", sub(f"{domain}/_alias/*")),
        ("es:ESHttpPut", sub(f"{domain}/*-000001")),
    ]


@pytest.mark.parametrize("role", ["StreamFunctionRole", "RecoveryFunctionRole", "DrainFunctionRole"])
def test_all_three_functions_have_the_same_rights_to_opensearch(template: Template, role: str) -> None:
    assert properties(template, role, **DOMAIN_GIVEN)["ManagedPolicyArns"] == [{"Ref": "OpenSearchPolicy"}]


@pytest.mark.parametrize("role", ["StreamFunctionRole", "DrainFunctionRole"])
def test_of_the_progress_table_breakers_are_read_and_nothing_else(template: Template, role: str) -> None:
    policies = properties(template, role, **OPEN)["Policies"]
    listed = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
    assert [each for each in listed if "dynamodb:GetItem" in each["Action"]] == [
        {
            "Sid": "LookAtBreakers",
            "Effect": "Allow",
            "Action": "dynamodb:GetItem",
            "Resource": {"Fn::GetAtt": ["ProgressTable", "Arn"]},
            "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["#breaker#*"]}},
        }
    ]


def test_without_opensearch_the_stream_function_reads_no_table(template: Template) -> None:
    policies = properties(template, "StreamFunctionRole")["Policies"]
    actions = [each["Action"] for policy in policies for each in policy["PolicyDocument"]["Statement"]]
    assert "dynamodb:PutItem" in actions
    assert "dynamodb:GetItem" not in actions


def test_the_drain_function_may_change_nothing_but_objects_and_breakers(template: Template) -> None:
    [policy] = properties(template, "DrainFunctionRole", **OPEN)["Policies"]
    listed = policy["PolicyDocument"]["Statement"]
    assert {each["Sid"]: (each["Action"], each["Resource"]) for each in listed} == {
        "ReadAndWriteObjects": (["s3:GetObject", "s3:PutObject"], sub("${DataBucket.Arn}/*")),
        "FindObjects": ("s3:ListBucket", {"Fn::GetAtt": ["DataBucket", "Arn"]}),
        "HoldBreakersAndLookAtProgress": ("dynamodb:PutItem", {"Fn::GetAtt": ["ProgressTable", "Arn"]}),
        "LookAtBreakers": ("dynamodb:GetItem", {"Fn::GetAtt": ["ProgressTable", "Arn"]}),
        "WriteTheLog": (["logs:CreateLogStream", "logs:PutLogEvents"], {"Fn::GetAtt": ["DrainLogGroup", "Arn"]}),
    }


@pytest.mark.parametrize(
    ("way", "endpoint", "auth", "secret"),
    [
        (WITHOUT, "", "", ""),
        (OPEN, OPEN["OpenSearchEndpoint"], "none", ""),
        (BASIC, BASIC["OpenSearchEndpoint"], "basic", SECRET),
        (DOMAIN_GIVEN, ENDPOINT, "es", ""),
        (SERVERLESS, SERVERLESS["OpenSearchEndpoint"], "aoss", ""),
    ],
)
def test_the_functions_learn_where_opensearch_is_and_how_it_is_entered(
    template: Template, way: dict[str, str], endpoint: str, auth: str, secret: str
) -> None:
    parameters = defaults(template, **way)
    for name in FUNCTIONS if way else FUNCTIONS[:2]:
        variables = template["Resources"][name]["Properties"]["Environment"]["Variables"]
        found = [rendered(template, variables[f"AETHERSTREAM_OPENSEARCH_{each}"], parameters)
                 for each in ("ENDPOINT", "AUTH", "SECRET")]  # fmt: skip
        assert found == [endpoint, auth, secret], name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_functions_learn_the_endpoint_of_the_created_domain(template: Template, name: str) -> None:
    variables = properties(template, name, **CREATED)["Environment"]["Variables"]
    assert variables["AETHERSTREAM_OPENSEARCH_ENDPOINT"] == sub("https://${OpenSearchDomain.DomainEndpoint}")


def test_the_drain_function_is_built_and_set_up_as_the_stream_function_is(template: Template) -> None:
    stream, drain = (properties(template, name, **OPEN) for name in ("StreamFunction", "DrainFunction"))
    same = ("CodeUri", "Runtime", "Architectures", "Tracing", "Environment")
    assert [drain[name] for name in same] == [stream[name] for name in same]
    metadata = [template["Resources"][name]["Metadata"] for name in ("StreamFunction", "DrainFunction")]
    assert metadata[0] == metadata[1]
    assert (drain["Handler"], drain["Timeout"], drain["MemorySize"]) == (
        "handlers.drain.handler",
        300,
        {"Ref": "DrainMemorySize"},
    )


def test_the_drain_function_is_called_every_minute_and_a_call_that_fails_is_left_to_the_next(
    template: Template,
) -> None:
    assert properties(template, "DrainSchedule", **OPEN) == {
        "Description": sub("Calls the drain function of ${AWS::StackName}"),
        "ScheduleExpression": "rate(1 minute)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": {"Fn::GetAtt": ["DrainFunction", "Arn"]},
            "RoleArn": {"Fn::GetAtt": ["DrainScheduleRole", "Arn"]},
            "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
        },
    }
    invoked = properties(template, "DrainFunction", **OPEN)["EventInvokeConfig"]
    assert invoked == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


def test_the_schedule_may_call_the_drain_function_and_nothing_else(template: Template) -> None:
    role = properties(template, "DrainScheduleRole", **OPEN)
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    [policy] = role["Policies"]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (trust["Principal"], trust["Condition"]) == (
        {"Service": "scheduler.amazonaws.com"},
        {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    )
    assert (statement["Action"], statement["Resource"]) == (
        "lambda:InvokeFunction",
        {"Fn::GetAtt": ["DrainFunction", "Arn"]},
    )


def test_the_created_domain_is_encrypted_everywhere_and_kept(template: Template) -> None:
    domain = resources(template, **CREATED)["OpenSearchDomain"]
    assert (domain["DeletionPolicy"], domain["UpdateReplacePolicy"]) == ("Retain", "Retain")
    about = domain["Properties"]
    assert about["EncryptionAtRestOptions"] == {"Enabled": True}
    assert about["NodeToNodeEncryptionOptions"] == {"Enabled": True}
    assert about["DomainEndpointOptions"] == {
        "EnforceHTTPS": True,
        "TLSSecurityPolicy": "Policy-Min-TLS-1-2-PFS-2023-10",
    }
    assert about["AdvancedSecurityOptions"] == {
        "Enabled": True,
        "InternalUserDatabaseEnabled": False,
        "MasterUserOptions": {"MasterUserARN": {"Fn::GetAtt": ["OpenSearchAccessRole", "Arn"]}},
    }


def test_the_created_domain_takes_the_customers_key(template: Template) -> None:
    key = "arn:aws:kms:eu-central-1:123456789012:key/a"
    about = properties(template, "OpenSearchDomain", **CREATED, KmsKeyArn=key)
    assert about["EncryptionAtRestOptions"] == {"Enabled": True, "KmsKeyId": {"Ref": "KmsKeyArn"}}


def test_nobody_but_its_own_function_and_the_named_role_administers_the_created_domain(template: Template) -> None:
    master = {"Fn::GetAtt": ["OpenSearchAccessRole", "Arn"]}
    alone = properties(template, "OpenSearchAccess", **CREATED)
    assert alone["Masters"] == [master]
    with_people = properties(template, "OpenSearchAccess", **CREATED, OpenSearchAdminArn=ADMIN)
    assert with_people["Masters"] == [master, {"Ref": "OpenSearchAdminArn"}]
    [trust] = properties(template, "OpenSearchAccessRole", **CREATED)["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_the_master_reaches_nothing_of_the_domain_but_its_roles(template: Template) -> None:
    policy = properties(template, "OpenSearchAccessPolicy", **CREATED)
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"], policy["Roles"]) == (
        "es:ESHttpPut",
        sub("${OpenSearchDomain.Arn}/_plugins/_security/api/*"),
        [{"Ref": "OpenSearchAccessRole"}],
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_in_a_vpc_only_where_one_is_named(template: Template, name: str) -> None:
    assert "VpcConfig" not in properties(template, name, **OPEN)
    assert properties(template, name, **OPEN, **NETWORK)["VpcConfig"] == {
        "SubnetIds": {"Fn::Split": [",", {"Ref": "VpcSubnetIds"}]},
        "SecurityGroupIds": {"Fn::Split": [",", {"Ref": "VpcSecurityGroupIds"}]},
    }


@pytest.mark.parametrize("role", ["StreamFunctionRole", "RecoveryFunctionRole", "DrainFunctionRole"])
def test_lambda_may_make_network_interfaces_by_the_roles_and_their_code_may_not(template: Template, role: str) -> None:
    managed = sub("arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess")
    assert properties(template, role, **OPEN, **NETWORK)["ManagedPolicyArns"] == [managed]
    policy = properties(template, "NetworkPolicy", **OPEN, **NETWORK)
    assert {"Ref": role} in policy["Roles"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Sid": "NoInterfacesFromCode",
            "Effect": "Deny",
            "Action": "ec2:*",
            "Resource": "*",
            "Condition": {"Null": {"lambda:SourceFunctionArn": "false"}},
        }
    ]


@pytest.mark.parametrize("name", ALARMS)
def test_alarms_are_sent_to_the_topic_if_there_is_one(template: Template, name: str) -> None:
    topic = "arn:aws:sns:eu-central-1:123456789012:pages"
    quiet = properties(template, name, **OPEN)
    loud = properties(template, name, **OPEN, AlarmTopicArn=topic)
    assert (quiet["AlarmActions"], loud["AlarmActions"]) == ([], [{"Ref": "AlarmTopicArn"}])


def test_the_alarms_ask_for_the_metrics_of_this_stack(template: Template) -> None:
    queries = [properties(template, name, **OPEN)["Metrics"][0]["Expression"]["Fn::Sub"] for name in ALARMS]
    assert queries == [
        "SELECT SUM(ConfigurationRejected) FROM \"${MetricsNamespace}\" WHERE service = '${AWS::StackName}'",
        "SELECT MAX(SpillOldestAge) FROM \"${MetricsNamespace}\" WHERE service = '${AWS::StackName}'",
    ]


@pytest.mark.parametrize("name", ALARMS)
def test_what_the_alarms_ask_for_is_published(template: Template, name: str) -> None:
    query = properties(template, name, **OPEN)["Metrics"][0]["Expression"]["Fn::Sub"]
    [metric] = re.findall(r"\((\w+)\) FROM", query)
    published = "".join((ROOT / "aetherstream" / each).read_text() for each in ("telemetry.py", "drain_app.py"))
    assert f'"{metric}"' in published


def test_a_drain_function_that_does_not_run_is_noticed(template: Template) -> None:
    alarm = properties(template, "SpillAgeAlarm", **OPEN, AlarmTopicArn="arn:aws:sns:eu-central-1:123456789012:pages")
    assert (alarm["TreatMissingData"], alarm["InsufficientDataActions"]) == ("missing", [{"Ref": "AlarmTopicArn"}])


def test_the_one_machine_stack_has_no_alarms(template: Template) -> None:
    assert not holds(template, "SearchAlarmed", defaults(template, **OPEN, BuildFor="host"))


@pytest.mark.parametrize(
    "changed",
    [
        DOMAIN_GIVEN | {"OpenSearchEndpoint": ENDPOINT.replace("flights", "others")},
        CREATED,
        BASIC,
        BASIC | {"OpenSearchSecretArn": SECRET.replace("flights", "others")},
        DOMAIN_GIVEN | NETWORK,
        DOMAIN_GIVEN | NETWORK | {"VpcSubnetIds": "subnet-0123456789abcdef0"},
        DOMAIN_GIVEN | NETWORK | {"VpcSecurityGroupIds": "sg-0123456789abcdef1"},
    ],
)
def test_a_changed_parameter_makes_a_new_version_of_the_stream_function(
    template: Template, changed: dict[str, str]
) -> None:
    description = template["Resources"]["StreamFunction"]["Properties"]["VersionDescription"]
    others = [way for way in (WITHOUT, OPEN, BASIC, DOMAIN_GIVEN, DOMAIN_GIVEN | NETWORK, CREATED) if way != changed]
    texts = [rendered(template, description, defaults(template, **way)) for way in (changed, *others)]
    assert texts.count(texts[0]) == 1


def test_the_description_of_a_version_fits_into_what_lambda_takes(template: Template) -> None:
    description = template["Resources"]["StreamFunction"]["Properties"]["VersionDescription"]
    three = NETWORK | {"VpcSubnetIds": NETWORK["VpcSubnetIds"] + ",subnet-0123456789abcdef2"}
    for way in (BASIC, DOMAIN_GIVEN | three, SERVERLESS):
        text = rendered(template, description, defaults(template, **way))
        assert len(text) <= 256, (len(text), text)
