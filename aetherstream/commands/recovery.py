"""What `aetherstream dlq` and `aetherstream quarantine` share: the recovery function, and how its answers read."""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import click

from aetherstream.commands.deployed import Deployed
from aetherstream.errors import AetherStreamError, Retryable, UsageError

SECONDS = 900
"""AWS: the longest that a function runs."""

LISTED = 4
"""Most objects that a report names one by one."""

Answer = Mapping[str, Any]

yes_option = click.option("--yes", is_flag=True, help="Do it. Without this, only say what would be done.")
wait_option = click.option(
    "--wait", type=click.IntRange(0), default=0, show_default=True, metavar="SECONDS",
    help="How long to wait for somebody else's redrive of a shard.",
)  # fmt: skip
where_option = click.option("--where", metavar="EXPR", help="Only records for which this expression holds.")
why_option = click.option("--why", metavar="TEXT", help="A reason, for the audit trail.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


class Recovery:
    """The recovery function of a stack: the pipeline as it is deployed now."""

    def __init__(self, deployed: Deployed, *, wait: int = 0, function: str | None = None) -> None:
        """`function`: its name, where it is not that of the stack's outputs."""
        from botocore.config import Config

        self.deployed = deployed
        self._wait = wait
        self._function = function or deployed.output("RecoveryFunctionName")
        # A request is asked again by people, not by the client: the first one may still be at work.
        config = Config(read_timeout=SECONDS + 10, retries={"max_attempts": 0}, tcp_keepalive=True)
        self._lambda = deployed.client("lambda", config=config)

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Ask once, or for as long as somebody else holds the lease and there is time to wait."""
        until = time.monotonic() + self._wait
        while True:
            answer = self._invoke({**request, "by": who()})
            left = until - time.monotonic()
            if answer["state"] != "held" or left <= 0:
                return answer
            click.echo(f"waiting: {answer['message']}", err=True)
            time.sleep(min(5.0, left))

    def _invoke(self, request: Mapping[str, Any]) -> Answer:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._lambda.invoke(FunctionName=self._function, Payload=json.dumps(request).encode())
            body = answer["Payload"].read()
        except (BotoCoreError, ClientError) as error:
            raise Retryable(f"the recovery function {self._function} can't be called: {error}") from error
        found: Any = json.loads(body)
        if "FunctionError" in answer:
            why = f"{found.get('errorType', 'error')}: {found.get('errorMessage', '')}"
            return {"state": "failed", "message": f"the recovery function {self._function} ended: {why}"}
        return dict(found)

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """What the deployed pipeline is."""
        answer = self.ask({"do": "describe"})
        if answer["state"] != "done":
            raise Retryable(answer["message"])
        return dict(answer["about"])


def objects(deployed: Deployed, bucket: str, prefix: str) -> Iterator[str]:
    """Keys under a prefix. Raises UsageError where the bucket can't be listed."""
    for listed in _asked(lambda: reader(deployed).list(bucket, prefix)):
        yield listed.key


def reader(deployed: Deployed) -> Any:
    """What lists and reads objects, from here."""
    from aetherstream.delivery.s3 import S3Reader

    return S3Reader(deployed.client("s3"))


def _asked(listing: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    try:
        yield from listing()
    except AetherStreamError as error:
        raise UsageError(str(error)) from error


def who() -> str:
    """Who asks, for the audit trail and for whoever meets the lease."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()


def accounting(report: Mapping[str, Any]) -> Iterator[str]:
    """A redrive's report in words: the equation, then where things went."""
    would = "would be " if report["dry_run"] else ""
    parts = [
        (report["passed"], f"{would}delivered"),
        (report["held"], "delivered before"),
        (report["quarantined"], f"{would}quarantined"),
        (report["still_quarantined"], "in the quarantine already"),
        (report["dropped"], "dropped by a filter"),
        (report["not_chosen"], "not chosen"),
        (report["left"], "left: a sink can't take them now"),
    ]
    told = " + ".join(f"{number} {words}" for number, words in parts if number) or "nothing"
    yield f"{report['records']} records = {told}"
    for name, count in report["sinks"].items():
        yield f"  {name}: {count['events']} events, {count['delivered']} {would}delivered, {count['held']} held before"
    for reason, number in sorted(report["reasons"].items()):
        yield f"  refused {number}: {reason}"
    wrote = "would write" if report["dry_run"] else "wrote"
    if len(report["objects"]) > LISTED:
        yield f"  {wrote} {len(report['objects'])} objects (--json names them)"
    else:
        yield from (f"  {wrote} s3://{location}" for location in report["objects"])


def plural(number: int, what: str) -> str:
    """`1 record`, `2 records`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
