"""Breaker items in the DynamoDB table of the progress items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.config import Config

from aetherstream.delivery.breaker_item import BreakerItem, Cursor, DrainLease
from aetherstream.delivery.revisions import put_revision, read_revision

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# A breaker is there to save time: where the table hangs, what the process has seen itself has to do.
CLIENT = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
"""How a breaker's client is to be made."""

_RIGHTS = "dynamodb:GetItem, dynamodb:PutItem"
_TEXTS = ("state", "why", "by")
_NUMBERS = ("revision", "since", "wait", "probe_at", "opened", "probes", "number", "unclean")
_FLAGS = ("held", "answered")
_KNOWN = {"pk", "lease", "cursor", *_TEXTS, *_NUMBERS, *_FLAGS}


class DynamoBreakers:
    """`BreakerStore` on a DynamoDB table whose key is the string `pk`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, key: str, /) -> BreakerItem:
        """See `BreakerStore.read`."""
        stored = read_revision(self._client, self._table, key, _RIGHTS)
        return from_item(stored) if stored else BreakerItem(key)

    def write(self, item: BreakerItem, /) -> BreakerItem | None:
        """See `BreakerStore.write`."""
        stored = put_revision(self._client, self._table, to_item(item), item.revision, _RIGHTS)
        return None if stored is None else from_item(stored) if stored else BreakerItem(item.key)


def to_item(breaker: BreakerItem) -> dict[str, Any]:
    """Write a breaker's item as DynamoDB attribute values."""
    made: dict[str, Any] = {**breaker.others, "pk": {"S": breaker.key}}
    made |= {name: {"S": getattr(breaker, name)} for name in _TEXTS}
    made |= {name: {"N": str(getattr(breaker, name))} for name in _NUMBERS}
    made |= {name: {"BOOL": getattr(breaker, name)} for name in _FLAGS}
    if (lease := breaker.lease) is not None:
        held = {"owner": {"S": lease.owner}, "number": {"N": str(lease.number)}, "until": {"N": str(lease.until)}}
        made["lease"] = {"M": held}
    if (cursor := breaker.cursor) is not None:
        made["cursor"] = {"M": {"key": {"S": cursor.key}, "etag": {"S": cursor.etag}, "rows": {"N": str(cursor.rows)}}}
    return made


def from_item(item: dict[str, Any]) -> BreakerItem:
    """Read a breaker's item from DynamoDB attribute values; what is missing has its default."""
    found: dict[str, Any] = {name: item[name]["S"] for name in _TEXTS if name in item}
    found |= {name: int(item[name]["N"]) for name in _NUMBERS if name in item}
    found |= {name: item[name]["BOOL"] for name in _FLAGS if name in item}
    if found.get("state") not in ("closed", "open", "half_open"):
        found["state"] = "closed"
    if "lease" in item:
        lease = item["lease"]["M"]
        found["lease"] = DrainLease(lease["owner"]["S"], int(lease["number"]["N"]), int(lease["until"]["N"]))
    if "cursor" in item:
        cursor = item["cursor"]["M"]
        found["cursor"] = Cursor(cursor["key"]["S"], cursor["etag"]["S"], int(cursor["rows"]["N"]))
    others = {name: value for name, value in item.items() if name not in _KNOWN}
    return BreakerItem(item["pk"]["S"], **found, others=others)
