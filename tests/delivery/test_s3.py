import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from aetherstream.delivery.put import Conflict, Head, Missing, PreconditionFailed
from aetherstream.delivery.reader import Listed
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.errors import ConfigurationError, Retryable


class Client:
    """`put_object` and `head_object`; answers with an error, or notes the request."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.requests: list[dict[str, Any]] = []

    def put_object(self, **request: Any) -> None:
        self.requests.append(request)
        if self.error:
            raise self.error

    def head_object(self, **request: Any) -> dict[str, Any]:
        self.put_object(**request)
        return {"ETag": '"e"', "Metadata": {"aether-epoch": "3"}, "ContentLength": 20}

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.put_object(**request)
        return {"Body": io.BytesIO(b"lines")}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        self.put_object(**request)
        when = datetime(2025, 11, 21, 8, tzinfo=UTC)
        yield {"Contents": [{"Key": "archive/a", "LastModified": when, "Size": 20}]}
        yield {}
        yield {"Contents": [{"Key": "archive/b", "LastModified": when, "Size": 21}]}


def answer(status: int, code: str) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")


def store(client: Client) -> S3Store:
    return S3Store(client)  # type: ignore[arg-type]


@pytest.mark.parametrize(("if_match", "condition"), [(None, {"IfNoneMatch": "*"}), ('"e"', {"IfMatch": '"e"'})])
def test_a_put_carries_its_condition(if_match: str | None, condition: dict[str, str]) -> None:
    client = Client()
    store(client).put("b", "k", b"x", {"aether-epoch": "3"}, if_match=if_match)
    assert client.requests == [
        {"Bucket": "b", "Key": "k", "Body": b"x", "Metadata": {"aether-epoch": "3"}, **condition}
    ]


def test_an_overwrite_carries_none() -> None:
    client = Client()
    store(client).overwrite("b", "k", b"x", {})
    assert client.requests == [{"Bucket": "b", "Key": "k", "Body": b"x", "Metadata": {}}]


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (412, "PreconditionFailed", PreconditionFailed),
        (409, "ConditionalRequestConflict", Conflict),
        (404, "NoSuchKey", Missing),
        (404, "NoSuchBucket", ConfigurationError),
        (403, "AccessDenied", ConfigurationError),
        (400, "KMS.DisabledException", ConfigurationError),
        (503, "SlowDown", Retryable),
        (500, "InternalError", Retryable),
        (400, "RequestTimeout", Retryable),
        (400, "ExpiredToken", Retryable),
    ],
)
def test_each_answer_to_a_put_says_what_to_do(status: int, code: str, meaning: type[Exception]) -> None:
    with pytest.raises(Exception) as caught:
        store(Client(answer(status, code))).put("b", "k", b"x", {}, if_match=None)
    assert type(caught.value) is meaning


def test_a_network_error_is_retryable_and_names_the_object() -> None:
    client = Client(EndpointConnectionError(endpoint_url="https://s3"))
    with pytest.raises(Retryable, match="s3://b/k: Could not connect"):
        store(client).put("b", "k", b"x", {}, if_match=None)
    with pytest.raises(Retryable, match="s3://b/k: Could not connect"):
        store(client).head("b", "k")


def test_a_head_gives_etag_and_metadata() -> None:
    assert store(Client()).head("b", "k") == Head('"e"', {"aether-epoch": "3"}, 20)


def test_a_head_from_which_a_proxy_took_the_length_still_gives_etag_and_metadata() -> None:
    class Short(Client):
        def head_object(self, **request: Any) -> dict[str, Any]:
            found = super().head_object(**request)
            del found["ContentLength"]
            return found

    assert store(Short()).head("b", "k") == Head('"e"', {"aether-epoch": "3"}, None)


def test_a_head_of_nothing_is_none() -> None:
    assert store(Client(answer(404, "404"))).head("b", "k") is None


def test_a_head_that_is_forbidden_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="s3:PutObject and s3:GetObject"):
        store(Client(answer(403, "403"))).head("b", "k")


def reader(error: Exception | None = None) -> S3Reader:
    return S3Reader(Client(error))  # type: ignore[arg-type]


def test_a_listing_gives_every_page() -> None:
    listed = [Listed("archive/a", 1_763_712_000.0, 20), Listed("archive/b", 1_763_712_000.0, 21)]
    assert list(reader().list("b", "archive/")) == listed


def test_an_object_is_read_whole() -> None:
    assert reader().get("b", "k") == b"lines"


def test_an_object_that_is_gone_is_none() -> None:
    assert reader(answer(404, "NoSuchKey")).get("b", "k") is None


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (answer(404, "NoSuchBucket"), ConfigurationError),
        (answer(403, "AccessDenied"), ConfigurationError),
        (answer(503, "SlowDown"), Retryable),
        (EndpointConnectionError(endpoint_url="https://s3"), Retryable),
    ],
)
def test_each_answer_to_a_reader_says_what_to_do(error: Exception, meaning: type[Exception]) -> None:
    for read in (lambda: reader(error).get("b", "k"), lambda: list(reader(error).list("b", "archive/"))):
        with pytest.raises(meaning, match="b"):
            read()


def test_a_connection_that_breaks_while_an_object_is_read_is_retryable() -> None:
    with pytest.raises(Retryable, match="s3://b/k: reset"):
        reader(ConnectionResetError("reset")).get("b", "k")
