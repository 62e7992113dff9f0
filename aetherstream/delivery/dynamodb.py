"""Progress items in a DynamoDB table: one PutItem a write, never a read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aetherstream.delivery.pending import from_attribute, to_attribute
from aetherstream.delivery.progress import Attempt, Death, Lease, Noted, Progress, Suspect
from aetherstream.delivery.revisions import put_revision

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
    "suspects",
    "redriven",
    "commit",
    "pending",
    "event_time",
}


class DynamoProgress:
    """`ProgressStore` on a DynamoDB table whose key is the string `pk`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def write(self, item: Progress, /) -> Progress | None:
        """See `ProgressStore.write`."""
        stored = put_revision(self._client, self._table, to_item(item), item.revision, "dynamodb:PutItem")
        return None if stored is None else from_item(stored) if stored else Progress(item.key)


def to_item(progress: Progress) -> dict[str, Any]:
    """Write a progress item as DynamoDB attribute values."""
    attempt = progress.attempt
    return {
        **progress.others,
        **_redrive_fields(progress),
        **_aggregate_fields(progress),
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
                "deaths": {"L": [{"L": [{"S": death.process}, {"N": str(death.size)}]} for death in attempt.deaths]},
                # Follow from the deaths: for people, and for a version that is rolled back to.
                "killed": {"N": str(attempt.killed)},
                "alone": {"N": str(attempt.alone)},
            }
        },
        "counters": {"M": _numbers(progress.counters)},
    }


def _redrive_fields(progress: Progress) -> dict[str, Any]:
    """What only redrives write; a field that says nothing is left out."""
    fields: dict[str, Any] = {}
    if (lease := progress.lease) is not None:
        held = {"owner": {"S": lease.owner}, "number": {"N": str(lease.number)}, "until": {"N": str(lease.until)}}
        fields["lease"] = {"M": held if lease.at is None else {**held, "at": _suspect(lease.at)}}
    if progress.redrive_keys:
        fields["redrive_keys"] = {"L": [{"S": key} for key in progress.redrive_keys]}
    if progress.suspects:
        fields["suspects"] = {"L": [_suspect(each) for each in progress.suspects]}
    if progress.redriven:
        fields["redriven"] = {"M": _numbers(progress.redriven)}
    return fields


def _aggregate_fields(progress: Progress) -> dict[str, Any]:
    """What only pipelines with aggregates write."""
    fields: dict[str, Any] = {}
    if progress.commit:
        fields["commit"] = {"N": str(progress.commit)}
    if progress.pending is not None:
        fields["pending"] = to_attribute(progress.pending)
    if progress.event_time is not None:
        fields["event_time"] = {"N": repr(progress.event_time)}
    return fields


def _numbers(counts: Mapping[str, int]) -> dict[str, Any]:
    return {name: {"N": str(count)} for name, count in counts.items()}


def _suspect(suspect: Suspect) -> dict[str, Any]:
    texts = {"first": suspect.first, "last": suspect.last, "version": suspect.version}
    numbers = {"killed": suspect.killed, "alone": suspect.alone}
    return {"M": {**{name: {"S": text} for name, text in texts.items()}, **_numbers(numbers)}}


def _as_suspect(value: dict[str, Any]) -> Suspect:
    found = value["M"]
    first, last, version = (found[name]["S"] for name in ("first", "last", "version"))
    return Suspect(first, last, version, killed=int(found["killed"]["N"]), alone=int(found["alone"]["N"]))


def from_item(item: dict[str, Any]) -> Progress:
    """Read a progress item from DynamoDB attribute values."""
    attempt = item["attempt"]["M"]
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
            deaths=_deaths(attempt),
        ),
        counters={name: int(value["N"]) for name, value in item["counters"]["M"].items()},
        others={name: value for name, value in item.items() if name not in _KNOWN},
        lease=_lease(item["lease"]["M"]) if "lease" in item else None,
        redrive_keys=tuple(key["S"] for key in item["redrive_keys"]["L"]) if "redrive_keys" in item else (),
        suspects=tuple(_as_suspect(each) for each in item["suspects"]["L"]) if "suspects" in item else (),
        redriven={name: int(n["N"]) for name, n in item["redriven"]["M"].items()} if "redriven" in item else {},
        commit=int(item["commit"]["N"]) if "commit" in item else 0,
        pending=from_attribute(item["pending"]) if "pending" in item else None,
        event_time=float(item["event_time"]["N"]) if "event_time" in item else None,
    )


def _lease(found: dict[str, Any]) -> Lease:
    at = _as_suspect(found["at"]) if "at" in found else None
    return Lease(found["owner"]["S"], int(found["number"]["N"]), int(found["until"]["N"]), at)


def _deaths(attempt: dict[str, Any]) -> tuple[Death, ...]:
    if "deaths" in attempt:
        pairs = (death["L"] for death in attempt["deaths"]["L"])
        return tuple(Death(process["S"], int(size["N"])) for process, size in pairs)
    # An earlier version counted them, and did not say whose they were.
    killed, alone = int(attempt["killed"]["N"]), int(attempt["alone"]["N"])
    return tuple(Death("", 1 if number >= killed - alone else 0) for number in range(killed))
