"""What the commands of recovery share: the recovery function, their options, and reading the stack's buckets."""

from __future__ import annotations

import getpass
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import click

from aetherstream.commands.answers import Answer
from aetherstream.commands.called import Called, Ended
from aetherstream.commands.deployed import Deployed
from aetherstream.errors import AetherStreamError, Retryable, UsageError

SECONDS = 900
"""AWS: the longest that a function runs."""

KILLS = 50
"""How often a request is asked again whose function was killed; a record that kills it takes five or so to be alone."""
_KILLED = ("Runtime exited", "Worker process died")
"""AWS's words for a function whose process ended by memory, a crash or a signal; those of the one-machine stack."""

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
        self.deployed = deployed
        self._wait = wait
        self._function = Called(deployed, "recovery", function or deployed.output("RecoveryFunctionName"), SECONDS)

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Ask once, or for as long as somebody else holds the lease and there is time to wait.

        Where the function is killed by what it works on, it is asked again: it takes the records apart then.
        """
        asked = {**request, "by": who(), "id": uuid.uuid4().hex}
        return patiently(lambda: self._through_kills(asked), self._wait)

    def _through_kills(self, asked: Mapping[str, Any]) -> Answer:
        answer = self._invoke(asked)
        if answer.get("killed") and asked.get("dry_run", True):
            return {**answer, "message": f"{answer['message']}; one of the records may have done it: --yes finds out"}
        for _ in range(KILLS):
            if not answer.get("killed"):
                break
            click.echo(f"{answer['message']}; asked again, it takes the records apart", err=True)
            answer = self._invoke(asked)
        return answer

    def _invoke(self, request: Mapping[str, Any]) -> Answer:
        try:
            return self._function.invoke(request)
        except Ended as error:
            killed = error.kind == "MemoryError" or any(words in error.text for words in _KILLED)
            how = "was killed" if killed else "ended"
            message = f"{self._function.title} {how}: {error.kind}: {error.text}"
            return {"state": "failed", "message": message, "killed": killed}

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """What the deployed pipeline is."""
        answer = self.ask({"do": "describe"})
        if answer["state"] != "done":
            raise Retryable(answer["message"])
        return dict(answer["about"])


def patiently(ask: Callable[[], Answer], seconds: float) -> Answer:
    """Ask, and again for so many seconds while somebody else holds the lease."""
    until = time.monotonic() + seconds
    while True:
        answer = ask()
        left = until - time.monotonic()
        if answer["state"] != "held" or left <= 0:
            return answer
        click.echo(f"waiting: {answer['message']}", err=True)
        time.sleep(min(5.0, left))


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
