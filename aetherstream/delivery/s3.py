"""The object store on S3: boto3's errors translated, at this one edge, into what they ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.delivery.put import Conflict, Head, Missing, PreconditionFailed
from aetherstream.delivery.reader import Listed
from aetherstream.errors import ConfigurationError, Retryable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_FORBIDDEN = (
    "the function's role may not use it (s3:PutObject and s3:GetObject on the object; to redrive, s3:ListBucket too)"
)
# Answers that no retry mends: somebody has to change the deployment.
_MISCONFIGURED = {
    "NoSuchBucket": "the bucket does not exist",
    "AccessDenied": _FORBIDDEN,
    "403": _FORBIDDEN,
    "InvalidBucketName": "that is not a bucket's name",
    "PermanentRedirect": "the bucket is in another Region",
    "KMS.DisabledException": "the bucket's KMS key is disabled",
    "KMS.NotFoundException": "the bucket's KMS key does not exist",
}


class S3Store:
    """`ObjectStore` on S3."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        """See `ObjectStore.put`."""
        condition = {"IfNoneMatch": "*"} if if_match is None else {"IfMatch": if_match}
        self._put(bucket, key, body, metadata, condition)

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /) -> None:
        """See `ObjectStore.overwrite`."""
        self._put(bucket, key, body, metadata, {})

    def _put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], condition: dict[str, Any]) -> None:
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=body, Metadata=dict(metadata), **condition)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 412:
                raise PreconditionFailed from error
            if status == 409:
                raise Conflict from error
            if status == 404 and error.response["Error"]["Code"] == "NoSuchKey":
                raise Missing from error
            _translate(error, bucket, key)
        except BotoCoreError as error:
            raise Retryable(f"s3://{bucket}/{key}: {error}") from error

    def head(self, bucket: str, key: str, /) -> Head | None:
        """See `ObjectStore.head`."""
        try:
            answer = self._client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            _translate(error, bucket, key)
        except BotoCoreError as error:
            raise Retryable(f"s3://{bucket}/{key}: {error}") from error
        return Head(answer["ETag"], answer["Metadata"], answer.get("ContentLength"))


class S3Reader:
    """`ObjectReader` on S3."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def list(self, bucket: str, prefix: str, /) -> Iterator[Listed]:
        """See `ObjectReader.list`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        try:
            for page in pages:
                for found in page.get("Contents", []):
                    yield Listed(found["Key"], found["LastModified"].timestamp(), found["Size"])
        except ClientError as error:
            _translate(error, bucket, prefix)
        except BotoCoreError as error:
            raise Retryable(f"s3://{bucket}/{prefix}: {error}") from error

    def get(self, bucket: str, key: str, /) -> bytes | None:
        """See `ObjectReader.get`."""
        try:
            return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            _translate(error, bucket, key)
        except (BotoCoreError, OSError) as error:  # OSError: the connection broke while the body was read
            raise Retryable(f"s3://{bucket}/{key}: {error}") from error


def _translate(error: ClientError, bucket: str, key: str) -> NoReturn:
    code = error.response["Error"]["Code"]
    if code in _MISCONFIGURED:
        raise ConfigurationError(f"bucket {bucket!r}: {_MISCONFIGURED[code]} ({error})") from error
    raise Retryable(f"s3://{bucket}/{key}: {error}") from error
