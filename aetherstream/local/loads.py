"""What still waits to be loaded in a stack that runs on one machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aetherstream.errors import UsageError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_PAUSE = 0.25
_QUIET = 4
"""How often in a row the queue has to be empty: S3 announces an object a moment after it is there."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages of the load queue, one or more objects each."""

    visible: int = 0
    """Wait to be taken."""
    taken: int = 0
    """A loader has them, or they were put back for a while."""
    delayed: int = 0
    """Are too new to be taken."""
    dead: int = 0
    """Stand among the dead letters; they are not waited for."""

    @property
    def total(self) -> int:
        """All that are waited for."""
        return self.visible + self.taken + self.delayed


def waiting(client: SQSClient, queue: str, dead_letters: str = "") -> Waiting:
    """Count; `queue`, `dead_letters`: URLs."""
    found = _counts(client, queue)
    dead = _counts(client, dead_letters)["ApproximateNumberOfMessages"] if dead_letters else 0
    return Waiting(
        found["ApproximateNumberOfMessages"],
        found["ApproximateNumberOfMessagesNotVisible"],
        found["ApproximateNumberOfMessagesDelayed"],
        dead,
    )


def wait_for_loads(
    count: Callable[[], Waiting],
    timeout: float,
    watch: Callable[[Waiting], None] | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Wait until nothing waits any more; `watch` is told about four times a second.

    Raises `UsageError` after `timeout` seconds, with what waits.
    """
    until = time.monotonic() + timeout
    quiet = 0
    while True:
        found = count()
        if watch is not None:
            watch(found)
        quiet = quiet + 1 if found.total == 0 else 0
        if quiet == _QUIET:
            return
        if time.monotonic() > until:
            raise UsageError(
                f"after {timeout:.0f} s not everything is loaded: {found.visible} messages wait, {found.taken} are "
                f"with a loader or put back for a while, {found.delayed} are new; `aetherstream redshift show` says "
                "more"
            )
        pause(_PAUSE)


def _counts(client: SQSClient, queue: str) -> dict[str, int]:
    names: list[Any] = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    found = client.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return {name: int(found.get(name, 0)) for name in names}
