"""What every function shares when it starts: its clients' time-outs, and whether deployment and pipeline file agree."""

from __future__ import annotations

from typing import Any, Protocol

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.errors import ConfigurationError
from aetherstream.pipeline import Pipeline
from aetherstream.settings import Settings

WORKERS = 16
"""Parallel requests: enough to hide S3's latency behind the partitions of a batch."""

# A request that hangs must end before Lambda ends the function: that would look like a record that kills it.
# Three tries of at most 2 + 5 s and the pauses between them stay within the 25 s that the engine keeps for a put.
CLIENT = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},  # botocore: `max_attempts` would not count the first
    max_pool_connections=WORKERS,
)


class LambdaContext(Protocol):
    """The part of Lambda's context that is used."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""


def agree_on_delivery(pipeline: Pipeline, settings: Settings) -> None:
    """Raise ConfigurationError where the template and the pipeline file promise different things."""
    wanted = settings.variables.get("AETHERSTREAM_DELIVERY", pipeline.file.delivery)
    if wanted != pipeline.file.delivery:
        raise ConfigurationError(
            f"{pipeline.path} says `delivery: {pipeline.file.delivery}`, but the template's parameter Delivery is "
            f"{wanted!r}: make them agree"
        )


def progress_table(settings: Settings) -> str:
    """Name of the table. Raises ConfigurationError where it is not set."""
    if settings.progress_table is None:
        raise ConfigurationError(
            "the environment variable AETHERSTREAM_PROGRESS_TABLE is not set: `delivery: exactly_once` and the circuit "
            "breakers of sinks need the DynamoDB table of progress items (the template makes one)"
        )
    return settings.progress_table


def require_bucket(s3: Any, bucket: str) -> None:
    """Raise ConfigurationError where the bucket is not there for this function."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status not in {301, 403, 404}:
            return  # S3 is not well: the first put will tell, and be retried
        why = {301: "is in another Region", 403: "may not be used by the function's role (s3:ListBucket)"}
        raise ConfigurationError(
            f"bucket {bucket!r} {why.get(status, 'does not exist')}: the pipeline file names it, usually as "
            "${AETHERSTREAM_BUCKET}, which the template sets to its own bucket"
        ) from error
    except BotoCoreError:
        return
