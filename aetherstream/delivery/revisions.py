"""Items of the progress table that are written whole, on the condition that their revision is the one that was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.errors import ConfigurationError, Retryable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MISCONFIGURED = {
    "ResourceNotFoundException": "the table does not exist",
    "ValidationException": "the table refuses the item (its key must be the string `pk`)",
}


def read_revision(client: DynamoDBClient, table: str, key: str, rights: str) -> dict[str, Any]:
    """The stored item's attributes (strongly consistent), empty where there is none. Raises like `put_revision`."""
    try:
        answer = client.get_item(TableName=table, Key={"pk": {"S": key}}, ConsistentRead=True)
    except (ClientError, BotoCoreError) as error:
        raise translated(error, table, rights) from error
    return cast("dict[str, Any]", answer).get("Item") or {}


def put_revision(
    client: DynamoDBClient, table: str, item: Mapping[str, Any], revision: int, rights: str
) -> dict[str, Any] | None:
    """Put `item`, whose revision this is, if the stored one has the revision before it.

    Returns None when it was written; else the stored item's attributes, empty where there is none. The failed condition
    returns them itself (`ALL_OLD`). `rights`: what the role needs. Raises Retryable, ConfigurationError.
    """
    request: dict[str, Any] = {
        "TableName": table,
        "Item": item,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if revision == 1:
        request["ConditionExpression"] = "attribute_not_exists(pk)"
    else:
        request["ConditionExpression"] = "revision = :read"
        request["ExpressionAttributeValues"] = {":read": {"N": str(revision - 1)}}
    try:
        client.put_item(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return cast("dict[str, Any]", error.response).get("Item") or {}
        raise translated(error, table, rights) from error
    except BotoCoreError as error:
        raise translated(error, table, rights) from error
    return None


def translated(error: ClientError | BotoCoreError, table: str, rights: str) -> Retryable | ConfigurationError:
    """The error of DynamoDB as what is to be done about it."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    known = {**_MISCONFIGURED, "AccessDeniedException": f"the function's role may not use it ({rights})"}
    if code in known:
        return ConfigurationError(f"progress table {table!r}: {known[code]} ({error})")
    return Retryable(f"progress table {table!r}: {error}")
