from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from aetherstream.errors import ConfigurationError
from aetherstream.sinks.base import Answer, Documents
from aetherstream.sinks.opensearch.connect import client_of, collection_type, connect
from aetherstream.sinks.opensearch.options import OpenSearchOptions
from aetherstream.sinks.opensearch.template import IndexSpec

SPEC = IndexSpec("flights-search", "index", "flights")
OPTIONS = OpenSearchOptions("search", "https://abc123.eu-west-1.aoss.amazonaws.com", SPEC)


def session(region: str | None = "eu-west-1", key: str | None = "AKID") -> boto3.Session:
    return boto3.Session(key, key and "secret", region_name=region)


class Collections:
    """A session whose OpenSearch Serverless answers with this type, or with this error."""

    def __init__(self, answer: list[dict[str, str]] | Exception) -> None:
        self._answer = answer
        self.asked: list[Any] = []

    def client(self, service: str, *, region_name: str | None, config: Config) -> Collections:
        self.asked.append((service, region_name))
        return self

    def batch_get_collection(self, ids: list[str]) -> dict[str, list[dict[str, str]]]:
        self.asked.append(ids)
        if isinstance(self._answer, Exception):
            raise self._answer
        return {"collectionDetails": self._answer}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([{"type": "TIMESERIES"}], "TIMESERIES"),
        ([], None),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "BatchGetCollection"), None),
    ],
)
def test_the_type_of_a_collection_is_asked_by_its_id(answer: Any, kind: str | None) -> None:
    collections = Collections(answer)
    assert collection_type(replace(OPTIONS, region="eu-west-1"), collections) == kind  # type: ignore[arg-type]
    assert collections.asked == [("opensearchserverless", "eu-west-1"), ["abc123"]]


def test_an_endpoint_that_does_not_tell_its_collection_is_not_asked_about() -> None:
    collections = Collections([])
    assert collection_type(replace(OPTIONS, endpoint="https://vpce-1.example"), collections) is None  # type: ignore[arg-type]
    assert collections.asked == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"auth": "basic"}, "auth basic needs `secret`, or `username` and `password`"),
        ({"auth": "basic", "username": "u"}, "auth basic needs `secret`, or `username` and `password`"),
        ({"endpoint": "nowhere"}, "write it as https://host"),
    ],
)
def test_a_way_of_entering_that_can_not_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        client_of(replace(OPTIONS, **changes), session())


def test_signing_needs_a_region() -> None:
    class Regionless:
        region_name = None

        def get_credentials(self) -> object:
            return object()

    with pytest.raises(ConfigurationError, match="sink search: auth es needs a region of AWS"):
        client_of(replace(OPTIONS, auth="es"), Regionless())  # type: ignore[arg-type]


def test_signing_needs_credentials() -> None:
    class Nobody:
        region_name = "eu-west-1"

        def get_credentials(self) -> None:
            return None

    with pytest.raises(ConfigurationError, match="sink search: auth aoss needs credentials of AWS"):
        client_of(replace(OPTIONS, auth="aoss"), Nobody())  # type: ignore[arg-type]


def test_connecting_asks_nothing_and_a_cluster_that_is_gone_leaves_the_documents() -> None:
    sink = connect(replace(OPTIONS, endpoint="http://127.0.0.1:9"), session())
    outcome = sink.deliver(Documents(["x"], ["flights-2013"], [b"{}"]), 1.0)
    assert (outcome.rejected, list(outcome.undelivered)) == ({}, ["x"])
    assert set(outcome.answers) == {Answer(1, 1, outcome.undelivered["x"])}


@pytest.mark.parametrize(
    ("name", "imported"),
    [(name, False) for name in ("placement", "bulk", "answers", "sink", "setup", "template", "options")]
    + [("connect", True)],
)
def test_only_connecting_imports_the_client(name: str, imported: bool) -> None:
    code = (
        f"import sys, aetherstream.sinks.opensearch.{name}; print('opensearchpy' in sys.modules, 'grpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(imported), "False"]
