"""Fixtures that give the stand-in for Redshift beside an S3; tests with them are marked `integration`.

A conftest.py takes what it needs from here, and pytest wants all that one of them needs:
`from tests.redshift_fixture import bucket, connect, connection, objects, schema, warehouse`.
"""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
import redshift_connector
from redshift_connector.core import Connection
from redshift_connector.error import Error

from aetherstream.local.environment import Clients
from aetherstream.local.ministack import MiniStack
from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.redshift.serve import s3_client

Connect = Callable[[], Connection]
ROLE = "arn:aws:iam::123456789012:role/load"


class Objects:
    """Puts objects where a COPY finds them."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        self.endpoint = endpoint
        self.bucket = bucket
        self.s3 = s3_client(endpoint)

    def put(self, key: str, body: bytes) -> str:
        """Put an object as it is, and give its place."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def rows(self, *rows: dict[str, Any], key: str = "") -> str:
        """Put rows as compressed lines."""
        return self.put(
            key or f"{uuid.uuid4().hex}.json.gz", gzip.compress("\n".join(map(json.dumps, rows)).encode(), mtime=0)
        )

    def parquet(self, query: str) -> str:
        """Put the result of a query of DuckDB as Parquet."""
        return self.put(f"{uuid.uuid4().hex}.parquet", parquet(query))

    def manifest(self, places: Sequence[str], *, mandatory: bool = True, sizes: bool = False) -> str:
        """Put a manifest, with the objects' sizes where the format wants them."""
        entries: list[dict[str, Any]] = [{"url": place, "mandatory": mandatory} for place in places]
        for entry in entries if sizes else []:
            held = self.s3.head_object(Bucket=self.bucket, Key=entry["url"].removeprefix(f"s3://{self.bucket}/"))
            entry["meta"] = {"content_length": held["ContentLength"]}
        return self.put(f"{uuid.uuid4().hex}.manifest", json.dumps({"entries": entries}).encode())


def parquet(query: str) -> bytes:
    """The result of a query of DuckDB as a Parquet file."""
    with TemporaryDirectory() as folder, duckdb.connect() as writer:
        file = Path(folder, "object")
        writer.execute("SET TimeZone = 'UTC'")
        writer.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet)")
        return file.read_bytes()


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The endpoint of an S3 of its own, and a bucket in it."""
    ministack = MiniStack(tmp_path_factory.mktemp("s3"))
    ministack.start()
    try:
        Clients(ministack.endpoint).s3.create_bucket(Bucket="staging")
        yield ministack.endpoint, "staging"
    finally:
        ministack.stop()


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory, bucket: tuple[str, str]) -> Iterator[LocalRedshift]:
    """One stand-in for all tests of a run; others' schemas stand in it."""
    with LocalRedshift(tmp_path_factory.mktemp("redshift"), s3_endpoint=bucket[0]) as server:
        yield server


@pytest.fixture
def objects(bucket: tuple[str, str]) -> Objects:
    """Puts objects."""
    return Objects(*bucket)


@pytest.fixture
def schema(warehouse: LocalRedshift) -> Iterator[str]:
    """A schema of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with redshift_connector.connect(**warehouse.login) as made, made.cursor() as cursor:
        made.autocommit = True
        cursor.execute(f"CREATE SCHEMA {name}")
        yield name
        cursor.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def connect(warehouse: LocalRedshift, schema: str) -> Iterator[Connect]:
    """Makes connections of the real driver, in the test's schema; what was not closed is closed after the test."""
    with ExitStack() as ends:

        def make() -> Connection:
            made = redshift_connector.connect(**warehouse.login)
            ends.callback(_close, made)
            with made.cursor() as cursor:
                cursor.execute(f"SET search_path TO {schema}")
            made.commit()
            return made

        yield make


@pytest.fixture
def connection(connect: Connect) -> Connection:
    """A connection of the real driver, in the test's schema."""
    return connect()


def _close(connection: Connection) -> None:
    with suppress(Error, OSError):  # a test may have broken it
        connection.close()
