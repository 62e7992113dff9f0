"""The producer's two calls of Kinesis, and what each way of failing means for a retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, NoRegionError  # noqa: A004

from aetherstream.errors import UsageError
from aetherstream.producer.entry import Batch, CallFailure
from aetherstream.producer.shards import ShardMap


# As properties, so that a client typed by boto3-stubs fits too: its keyword arguments are those of the API, not any.
class ListingClient(Protocol):
    """A client that lists shards."""

    @property
    def list_shards(self) -> Callable[..., Any]:
        """ListShards."""


class KinesisClient(ListingClient, Protocol):
    """What the producer uses of `boto3.client("kinesis")`; it must be safe to share between threads, as that one is."""

    @property
    def put_records(self) -> Callable[..., Any]:
        """PutRecords."""


THROTTLES: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "KMSThrottlingException",
        "LimitExceededException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "SlowDown",
    }
)
REFUSALS: Final = frozenset({"InvalidArgumentException", "ValidationException", "SerializationException"})
FINAL: Final = frozenset(
    {
        "ResourceNotFoundException",
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "IncompleteSignature",
        "MissingAuthenticationTokenException",
        "InvalidClientTokenId",
        "OptInRequired",
        "ExpiredTokenException",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
        "KMSOptInRequired",
    }
)


def connect(endpoint_url: str | None, region: str | None, senders: int) -> KinesisClient:
    """A Kinesis client that leaves retries to the producer, so that counters, jitter and order are in one hand."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=senders + 1,
        connect_timeout=5,
        read_timeout=30,
        user_agent_extra="aetherstream-producer",
    )
    try:
        return boto3.client("kinesis", endpoint_url=endpoint_url, region_name=region, config=config)
    except NoRegionError as error:
        raise UsageError("no AWS region is known: name one, or set AWS_REGION or AWS_DEFAULT_REGION") from error


Outcome = Sequence[Mapping[str, Any]] | CallFailure


def put(client: KinesisClient, stream: str, batch: Batch) -> Outcome:
    """Send a batch: the result of each entry, or how the whole call failed."""
    records = [entry.request() for entry in batch.entries]
    try:
        answer = client.put_records(Records=records, **target(stream))
    except Exception as error:  # noqa: BLE001 - whatever it is, each record's callback has to hear of it
        return classify(error)
    results: Sequence[Mapping[str, Any]] = answer["Records"]
    return results


def shard_map(client: KinesisClient, stream: str) -> ShardMap:
    """The open shards of a stream. Raises `UsageError` when they can't be listed."""
    return ShardMap.from_list_shards(all_shards(client, stream))


def all_shards(client: ListingClient, stream: str) -> list[Any]:
    """Every shard of a stream as ListShards tells, all pages. Raises `UsageError` when they can't be listed."""
    shards: list[Any] = []
    request: dict[str, Any] = target(stream)
    while True:
        try:
            page = client.list_shards(**request)
        except (ClientError, BotoCoreError) as error:
            raise UsageError(f"the shards of {stream} can't be listed: {error}") from error
        shards += page["Shards"]
        if not page.get("NextToken"):
            return shards
        request = {"NextToken": page["NextToken"]}  # AWS: ListShards refuses a stream beside a token


def target(stream: str) -> dict[str, Any]:
    """How a request names the stream: by ARN or by name."""
    return {"StreamARN": stream} if stream.startswith("arn:") else {"StreamName": stream}


def classify(error: Exception) -> CallFailure:
    """What a failed call means. An unknown answer of the service is retried if it says that the fault is its own."""
    if isinstance(error, ConnectionError | HTTPClientError):
        return CallFailure("retry", type(error).__name__, str(error))
    if not isinstance(error, ClientError):
        return CallFailure("final", type(error).__name__, str(error))
    code = error.response["Error"]["Code"]
    message = error.response["Error"]["Message"]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in THROTTLES or status == 429:
        return CallFailure("throttle", code, message)
    if code in FINAL:
        return CallFailure("final", code, message)
    if code in REFUSALS:
        return CallFailure("refused", code, message)
    if status >= 500 or code.startswith(("InternalFailure", "ServiceUnavailable", "RequestTimeout")):
        return CallFailure("retry", code, message)
    return CallFailure("refused" if status in (400, 413) else "final", code, message)
