"""On-failure destinations: where the invocation records of discarded batches go."""

from __future__ import annotations

import logging

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.local.environment import Clients
from aetherstream.local.esm.actions import Discard

_logger = logging.getLogger(__name__)


class Destinations:
    """Sends a `Discard` to the queue, topic or bucket that it names. Used by one thread at a time."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        # Made here, since clients are not made from several threads.
        self._s3, self._sqs, self._sns = clients.s3, clients.sqs, clients.get("sns")
        self._queue_urls: dict[str, str] = {}

    def __call__(self, discard: Discard, /) -> bool:
        """Whether the record was delivered. AWS drops the records when it wasn't, and so do we, after a warning."""
        if discard.destination is None:
            _logger.warning(
                "%d records of %s are lost (%s): the mapping has no on-failure destination",
                len(discard.records),
                discard.shard_id,
                discard.condition,
            )
            return False
        try:
            self._send(discard, discard.destination)
        except (ClientError, BotoCoreError) as error:
            _logger.warning(
                "%d records of %s are lost: %s does not take the record of their failure: %s",
                len(discard.records),
                discard.shard_id,
                discard.destination,
                error,
            )
            return False
        return True

    def _send(self, discard: Discard, arn: str) -> None:
        service, name = arn.split(":")[2], arn.split(":")[5]
        if service == "s3":
            self._s3.put_object(Bucket=name, Key=discard.s3_key, Body=discard.s3_body(), ContentType="application/json")
        elif service == "sqs":
            if arn not in self._queue_urls:
                self._queue_urls[arn] = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
            self._sqs.send_message(QueueUrl=self._queue_urls[arn], MessageBody=orjson.dumps(discard.message).decode())
        else:
            self._sns.publish(TopicArn=arn, Message=orjson.dumps(discard.message).decode())
