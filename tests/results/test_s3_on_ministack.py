"""Results as objects of the emulator's S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from aetherstream.delivery.s3 import S3Store
from aetherstream.errors import ConfigurationError
from aetherstream.local.ministack import MiniStack
from aetherstream.results.s3 import S3Outlet
from aetherstream.testing.results import OutletContract, OutletSubject, row
from tests.results.test_s3 import read

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration

NAME = "aggregates.hours.to.archive"
NOBODY = "http://127.0.0.1:9"
"""The port of `discard`: nobody listens there."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack(tmp_path_factory.mktemp("ministack")) as ministack:
        yield ministack


def client(stack: MiniStack, endpoint: str) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=stack.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
        config=Config(connect_timeout=1, retries={"total_max_attempts": 1}),
    )


class Store(S3Store):
    """S3 that is not to be reached on request."""

    def __init__(self, stack: MiniStack) -> None:
        self._up, self._down = client(stack, stack.endpoint), client(stack, NOBODY)
        super().__init__(self._up)

    def reach(self, reachable: bool) -> None:
        self._client = self._up if reachable else self._down


class Subject:
    def __init__(self, stack: MiniStack) -> None:
        self.store = Store(stack)
        self.client = client(stack, stack.endpoint)
        self.bucket = f"bucket-{uuid4()}"
        self.client.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self.outlet = S3Outlet(NAME, self.store, self.bucket, "flights/hours")

    def objects(self) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        keys = [found["Key"] for found in listed]
        return {key: self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def stored(self) -> Mapping[str, Mapping[str, Any]]:
        return read(self.objects().items())

    def take_down(self) -> None:
        self.store.reach(False)

    def bring_up(self) -> None:
        self.store.reach(True)


class TestS3(OutletContract):
    @pytest.fixture(autouse=True)
    def _parts(self, stack: MiniStack) -> None:
        self._subject = Subject(stack)

    def subject(self) -> OutletSubject:
        return self._subject


def test_rows_that_are_written_twice_are_one_object(stack: MiniStack) -> None:
    subject = Subject(stack)
    subject.outlet.send([row("AA"), row("UA")], 60.0)
    before = subject.objects()
    subject.outlet.send([row("UA"), row("AA")], 60.0)
    assert (len(before), subject.objects()) == (1, before)


def test_a_bucket_that_is_not_there_needs_somebody(stack: MiniStack) -> None:
    missing = S3Outlet(NAME, S3Store(client(stack, stack.endpoint)), "no-such-bucket", "flights/hours")
    with pytest.raises(ConfigurationError, match=r"^bucket 'no-such-bucket': the bucket does not exist"):
        missing.send([row("AA")], 60.0)
