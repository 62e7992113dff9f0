"""The stores against the emulator's S3 and DynamoDB: what they rely on is what the services do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest

from aetherstream.delivery.dynamodb import DynamoProgress
from aetherstream.delivery.ledger import Ledger
from aetherstream.delivery.progress import Attempt, Death, Lease, Noted, Progress, peek
from aetherstream.delivery.put import EPOCH, Missing, ObjectStore, PreconditionFailed, put
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.errors import ConfigurationError, Superseded
from aetherstream.local.ministack import MiniStack
from aetherstream.sinks.s3 import S3Archive, by_field
from aetherstream.testing.contract import ObjectSinkContract, ObjectSubject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack(tmp_path_factory.mktemp("ministack")) as ministack:
        yield ministack


def client(stack: MiniStack, service: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=stack.endpoint,
        region_name=stack.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )


@pytest.fixture
def s3(stack: MiniStack) -> S3Client:
    made: S3Client = client(stack, "s3")
    return made


@pytest.fixture
def bucket(s3: S3Client) -> str:
    name = f"bucket-{uuid4()}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return name


@pytest.fixture
def table(stack: MiniStack) -> str:
    name = f"progress-{uuid4()}"
    client(stack, "dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def test_only_the_first_put_without_an_object_goes_through(s3: S3Client, bucket: str) -> None:
    store = S3Store(s3)
    store.put(bucket, "k", b"one", {EPOCH: "1"}, if_match=None)
    with pytest.raises(PreconditionFailed):
        store.put(bucket, "k", b"two", {EPOCH: "2"}, if_match=None)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"


def test_a_put_goes_through_where_the_etag_is_still_the_one_that_was_seen(s3: S3Client, bucket: str) -> None:
    store = S3Store(s3)
    store.put(bucket, "k", b"one", {EPOCH: "1"}, if_match=None)
    head = store.head(bucket, "k")
    assert head is not None
    assert dict(head.metadata) == {EPOCH: "1"}
    store.put(bucket, "k", b"two", {EPOCH: "2"}, if_match=head.etag)
    with pytest.raises(PreconditionFailed):
        store.put(bucket, "k", b"three", {EPOCH: "3"}, if_match=head.etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"two"


def test_a_put_on_an_object_that_is_gone_says_so(s3: S3Client, bucket: str) -> None:
    with pytest.raises(Missing):
        S3Store(s3).put(bucket, "k", b"one", {}, if_match='"0cc175b9c0f1b6a831c399e269772661"')


def test_nothing_has_no_head(s3: S3Client, bucket: str) -> None:
    assert S3Store(s3).head(bucket, "k") is None


def test_a_missing_bucket_is_a_configuration_error(s3: S3Client) -> None:
    with pytest.raises(ConfigurationError, match="bucket 'no-such-bucket': the bucket does not exist"):
        S3Store(s3).put("no-such-bucket", "k", b"one", {}, if_match=None)


def test_the_newest_epoch_wins(s3: S3Client, bucket: str) -> None:
    store = S3Store(s3)
    put(store, bucket, "k", b"one", {}, 1)
    put(store, bucket, "k", b"three", {}, 3)
    with pytest.raises(Superseded):
        put(store, bucket, "k", b"two", {}, 2)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"three"


def test_a_put_again_by_the_same_epoch_counts_as_stored(s3: S3Client, bucket: str) -> None:
    store = S3Store(s3)
    put(store, bucket, "k", b"one", {}, 1)
    put(store, bucket, "k", b"one", {}, 1)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"


class TestArchiveOnS3(ObjectSinkContract):
    @pytest.fixture(autouse=True)
    def _on(self, s3: S3Client, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket

    def subject(self) -> ObjectSubject:
        return _OnS3(self._s3, self._bucket)


class _OnS3(ObjectSubject):
    def __init__(self, s3: S3Client, bucket: str) -> None:
        super().__init__(S3Archive("archive", bucket=bucket, prefix="archive", partition=[by_field("p")]))
        self._s3 = s3

    @property
    def store(self) -> ObjectStore:
        return S3Store(self._s3)

    def read(self) -> dict[str, bytes]:
        bucket = self.sink.target.bucket
        listed = self._s3.list_objects_v2(Bucket=bucket, Prefix="archive/").get("Contents", [])
        return {o["Key"]: self._s3.get_object(Bucket=bucket, Key=o["Key"])["Body"].read() for o in listed}


ITEM = Progress(
    "flights#events#shardId-000000000000",
    revision=1,
    epoch=5,
    completed="05649590338271490256608559692538361571095921575989136588898",
    completed_arrival=1763712000000,
    open={"data/archive/day=1/k.ndjson.gz": Noted("003100", "v1")},
    attempt=Attempt("", 8, "p1", ended=False, deaths=(Death("p8", 8), Death("p9", 8))),
    counters={"records": 2**60},
)


def test_a_refused_write_returns_the_item_as_it_was_written(stack: MiniStack, table: str) -> None:
    store = DynamoProgress(client(stack, "dynamodb"), table)
    assert store.write(ITEM) is None
    assert store.write(ITEM) == ITEM
    assert store.write(replace(ITEM, revision=2, epoch=6)) is None
    assert store.write(replace(ITEM, revision=2)) == replace(ITEM, revision=2, epoch=6)


def test_a_write_on_an_item_that_is_gone_says_so(stack: MiniStack, table: str) -> None:
    store = DynamoProgress(client(stack, "dynamodb"), table)
    assert store.write(replace(ITEM, revision=7)) == Progress(ITEM.key)


def test_a_missing_table_is_a_configuration_error(stack: MiniStack) -> None:
    with pytest.raises(ConfigurationError, match="the table does not exist"):
        DynamoProgress(client(stack, "dynamodb"), "no-such-table").write(ITEM)


def test_a_ledger_claims_and_completes(stack: MiniStack, table: str) -> None:
    store = DynamoProgress(client(stack, "dynamodb"), table)
    ledger = Ledger(store, "p1")
    opening = ledger.open("k", ["003100", "003110"])
    claim = ledger.claim(opening, {"b/k": "003100"}, "v1")
    assert claim is not None
    done = ledger.complete(claim, "003110", 1763712000000, {"records": 2})
    assert Ledger(store, "p2").open("k", ["003100", "003110"]).item == done


def test_a_reader_lists_and_reads_what_was_put(s3: S3Client, bucket: str) -> None:
    for name in ("archive/a", "archive/b", "other/c"):
        put(S3Store(s3), bucket, name, name.encode(), {}, 1)
    found = list(S3Reader(s3).list(bucket, "archive/"))
    assert [(each.key, each.size, S3Reader(s3).get(bucket, each.key)) for each in found] == [
        ("archive/a", 9, b"archive/a"),
        ("archive/b", 9, b"archive/b"),
    ]
    assert S3Reader(s3).get(bucket, "archive/c") is None


def test_a_look_at_an_item_gives_its_lease_and_changes_nothing(stack: MiniStack, table: str) -> None:
    store = DynamoProgress(client(stack, "dynamodb"), table)
    key = f"k-{uuid4()}"
    assert peek(store, key) == Progress(key)
    item = Progress(key, revision=1, epoch=1, lease=Lease("alice", 1, 1_763_712_120_000), redrive_keys=("b/k",))
    assert store.write(item) is None
    assert (peek(store, key), peek(store, key)) == (item, item)
