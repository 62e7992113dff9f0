"""What a stack deployed: its outputs, resources and the event source mappings of streams with every setting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from aetherstream.local.esm.changes import is_table
from aetherstream.local.intrinsics import Intrinsics

if TYPE_CHECKING:
    from aetherstream.local.environment import Clients

_MAPPING = "AWS::Lambda::EventSourceMapping"
_IDENTITY = ("UUID", "EventSourceArn", "FunctionArn")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed stack as CloudFormation and Lambda describe it."""

    stack_name: str
    outputs: Mapping[str, str]
    """Value by output key."""
    resources: Mapping[str, str]
    """Physical id by logical id."""
    parameters: Mapping[str, str]
    """Value by parameter name."""
    mappings: Mapping[str, Mapping[str, Any]]
    """The Kinesis event source mappings by logical id: their settings as the API names them, numbers maybe as text."""
    table_mappings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Those of the streams of tables."""


def describe(clients: Clients, stack_name: str) -> Deployment:
    """Read a deployed stack."""
    stack = clients.cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])}
    resources: dict[str, str] = {}
    types: dict[str, str] = {}
    for page in clients.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_name):
        for summary in page["StackResourceSummaries"]:
            resources[summary["LogicalResourceId"]] = summary["PhysicalResourceId"]
            types[summary["LogicalResourceId"]] = summary["ResourceType"]
    template = _template(clients, stack_name)
    intrinsics = Intrinsics(template, parameters)
    mappings, table_mappings = {}, {}
    for logical, physical in resources.items():
        if types[logical] == _MAPPING:
            mapping = _mapping(clients, physical, template["Resources"][logical]["Properties"], intrinsics)
            if ":kinesis:" in mapping["EventSourceArn"]:
                mappings[logical] = mapping
            elif is_table(mapping["EventSourceArn"]):
                table_mappings[logical] = mapping
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return Deployment(stack_name, outputs, resources, parameters, mappings, table_mappings)


def settle_mappings(clients: Clients) -> None:
    """Keep MiniStack from polling streams itself, and let it poll queues: it takes a parameter's text as it is.

    Of a stream it repeats a failed batch for ever and ignores partial responses; of a table's it gathers nothing and
    holds up the queues meanwhile. Its "false" is true, and a concurrency that is text ends its poller.
    """
    for page in clients.lambda_.get_paginator("list_event_source_mappings").paginate():
        for mapping in page["EventSourceMappings"]:
            most: Any = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
            if ":kinesis:" in mapping["EventSourceArn"] or is_table(mapping["EventSourceArn"]):
                clients.lambda_.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
            elif most is not None:
                clients.lambda_.update_event_source_mapping(
                    UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": int(most)}
                )


def _mapping(clients: Clients, uuid: str, properties: Mapping[str, Any], intrinsics: Intrinsics) -> Mapping[str, Any]:
    """The template's settings, completed by Lambda's description where they name other resources.

    Not the other way round: MiniStack drops what its own poller can't do (tumbling windows) and has defaults of its own
    (a batch of 10 where AWS has 100).
    """
    described: Mapping[str, Any] = clients.lambda_.get_event_source_mapping(UUID=uuid)
    named = {name: described[name] for name in {*properties, *_IDENTITY} if name in described}
    return {**named, **intrinsics.properties(properties)}


def _template(clients: Clients, stack_name: str) -> Mapping[str, Any]:
    body: Any = clients.cloudformation.get_template(StackName=stack_name, TemplateStage="Processed")["TemplateBody"]
    if isinstance(body, str):
        body = json.loads(body) if body.lstrip().startswith("{") else yaml.safe_load(body)
    template: Mapping[str, Any] = body
    return template
