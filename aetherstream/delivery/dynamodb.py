"""Progress items in a DynamoDB table: one PutItem a write, never a read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.delivery.progress import Attempt, Lease, Noted, Progress
from aetherstream.errors import ConfigurationError, Retryable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KNOWN = {
    "pk",
    "revision",
    "epoch",
    "completed",
    "completed_arrival",
    "open",
    "attempt",
    "counters",
    "lease",
    "redrive_keys",
}
_MISCONFIGURED = {
    "ResourceNotFoundException": "the table does not exist",
    "AccessDeniedException": "the function's role may not write it (dynamodb:PutItem)",
    "ValidationException": "the table refuses the item (its key must be the string `pk`)",
}


class DynamoProgress:
    """`ProgressStore` on a DynamoDB table whose key is the string `pk`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def write(self, item: Progress, /) -> Progress | None:
        """See `ProgressStore.write`. The failed condition returns the stored item (`ALL_OLD`)."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": to_item(item),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if item.revision == 1:
            request["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            request["ConditionExpression"] = "revision = :read"
            request["ExpressionAttributeValues"] = {":read": {"N": str(item.revision - 1)}}
        try:
            self._client.put_item(**request)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException":
                stored = cast("dict[str, Any]", error.response).get("Item")
                return from_item(stored) if stored else Progress(item.key)
            if code in _MISCONFIGURED:
                raise ConfigurationError(f"progress table {self._table!r}: {_MISCONFIGURED[code]} ({error})") from error
            raise Retryable(f"progress table {self._table!r}: {error}") from error
        except BotoCoreError as error:
            raise Retryable(f"progress table {self._table!r}: {error}") from error
        return None


def to_item(progress: Progress) -> dict[str, Any]:
    """Write a progress item as DynamoDB attribute values."""
    attempt, lease = progress.attempt, progress.lease
    redrive: dict[str, Any] = {}
    if lease is not None:
        held = {"owner": {"S": lease.owner}, "number": {"N": str(lease.number)}, "until": {"N": str(lease.until)}}
        redrive["lease"] = {"M": held}
    if progress.redrive_keys:
        redrive["redrive_keys"] = {"L": [{"S": key} for key in progress.redrive_keys]}
    return {
        **progress.others,
        **redrive,
        "pk": {"S": progress.key},
        "revision": {"N": str(progress.revision)},
        "epoch": {"N": str(progress.epoch)},
        "completed": {"S": progress.completed},
        "completed_arrival": {"N": str(progress.completed_arrival)},
        "open": {"M": {key: {"L": [{"S": n.first}, {"S": n.version}]} for key, n in progress.open.items()}},
        "attempt": {
            "M": {
                "start": {"S": attempt.start},
                "size": {"N": str(attempt.size)},
                "process": {"S": attempt.process},
                "ended": {"BOOL": attempt.ended},
                "killed": {"N": str(attempt.killed)},
                "alone": {"N": str(attempt.alone)},
            }
        },
        "counters": {"M": {name: {"N": str(count)} for name, count in progress.counters.items()}},
    }


def from_item(item: dict[str, Any]) -> Progress:
    """Read a progress item from DynamoDB attribute values."""
    attempt = item["attempt"]["M"]
    lease = item["lease"]["M"] if "lease" in item else None
    return Progress(
        key=item["pk"]["S"],
        revision=int(item["revision"]["N"]),
        epoch=int(item["epoch"]["N"]),
        completed=item["completed"]["S"],
        completed_arrival=int(item["completed_arrival"]["N"]),
        open={key: Noted(value["L"][0]["S"], value["L"][1]["S"]) for key, value in item["open"]["M"].items()},
        attempt=Attempt(
            start=attempt["start"]["S"],
            size=int(attempt["size"]["N"]),
            process=attempt["process"]["S"],
            ended=attempt["ended"]["BOOL"],
            killed=int(attempt["killed"]["N"]),
            alone=int(attempt["alone"]["N"]),
        ),
        counters={name: int(value["N"]) for name, value in item["counters"]["M"].items()},
        others={name: value for name, value in item.items() if name not in _KNOWN},
        lease=lease and Lease(lease["owner"]["S"], int(lease["number"]["N"]), int(lease["until"]["N"])),
        redrive_keys=tuple(key["S"] for key in item["redrive_keys"]["L"]) if "redrive_keys" in item else (),
    )
