# ruff: noqa: S105, S106 - passwords of the tests' own
"""Logins by password, secret and IAM; rotation and expiry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.entry import Fetched, Login, connector, logins_of
from aetherstream.warehouse.options import WarehouseOptions

EXPIRY = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Answers:
    """A session of boto3 whose clients answer what they are told to."""

    answer: Callable[[], Any]
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def client(self, service: str, **_: Any) -> Any:
        return _Client(service, self)


class _Client:
    def __init__(self, service: str, answers: Answers) -> None:
        self._service = service
        self._answers = answers

    def __getattr__(self, operation: str) -> Any:
        def call(**parameters: Any) -> Any:
            self._answers.asked.append((self._service, operation, parameters))
            return self._answers.answer()

        return call


def options(**more: Any) -> WarehouseOptions:
    return WarehouseOptions("warehouse.example", "dev", **more)


def answers(*found: Any) -> Any:
    left = iter(found)

    def answer() -> Any:
        each = next(left)
        if isinstance(each, Exception):
            raise each
        return each

    return Answers(answer)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Some")


def test_a_secret_is_read_once() -> None:
    session = answers({"SecretString": '{"username": "loader", "password": "p", "engine": "redshift"}'})
    logins = logins_of(options(secret="arn:s"), session)
    assert [logins.get(), logins.get()] == [Login("loader", "p")] * 2
    assert session.asked == [("secretsmanager", "get_secret_value", {"SecretId": "arn:s"})]


def test_a_secret_that_was_kept_is_read_again_when_it_is_refused() -> None:
    first, second = ({"SecretString": f'{{"username": "loader", "password": "{p}"}}'} for p in "ab")
    logins = logins_of(options(secret="arn:s"), answers(first, second))
    logins.get()
    # What was read for this very login would be the same.
    assert logins.renew() is False
    logins.get()
    assert logins.renew() is True
    assert logins.get() == Login("loader", "b")


@pytest.mark.parametrize("text", ["p", "{}", "[]", '{"username": "loader"}'])
def test_a_secret_of_another_form_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r'the secret arn:s is not the JSON.*"username"'):
        logins_of(options(secret="arn:s"), answers({"SecretString": text})).get()


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        (
            {"workgroup": "wg"},
            (
                "redshift-serverless",
                "get_credentials",
                {"workgroupName": "wg", "dbName": "dev", "durationSeconds": 3600},
            ),
        ),
        (
            {"cluster": "c"},
            (
                "redshift",
                "get_cluster_credentials_with_iam",
                {"ClusterIdentifier": "c", "DbName": "dev", "DurationSeconds": 3600},
            ),
        ),
        (
            {"cluster": "c", "username": "loader"},
            (
                "redshift",
                "get_cluster_credentials",
                {
                    "ClusterIdentifier": "c",
                    "DbName": "dev",
                    "DurationSeconds": 3600,
                    "DbUser": "loader",
                    "AutoCreate": False,
                },
            ),
        ),
    ],
)
def test_iam_asks_for_a_temporary_user(more: dict[str, Any], asked: Any) -> None:
    if "workgroup" in more:
        answer: dict[str, Any] = {"dbUser": "IAMR:role", "dbPassword": "p", "expiration": EXPIRY}
    else:
        answer = {"DbUser": "IAMR:role", "DbPassword": "p", "Expiration": EXPIRY}
    session = answers(answer)
    assert logins_of(options(auth="iam", **more), session).get() == Login("IAMR:role", "p", EXPIRY.timestamp())
    assert session.asked == [asked]


def test_a_temporary_login_is_renewed_before_it_expires() -> None:
    now = [0.0]
    found = iter([Login("a", "1", 900.0), Login("a", "2", 2000.0)])
    logins = Fetched(lambda: next(found), lambda: now[0])
    assert logins.get().password == "1"
    now[0] = 779.0
    assert logins.get().password == "1"
    now[0] = 781.0
    assert logins.get().password == "2"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("AccessDeniedException"), ConfigurationError),
        (refused("ResourceNotFoundException"), ConfigurationError),
        (refused("ClusterNotFound"), ConfigurationError),
        (refused("ThrottlingException"), Retryable),
        (refused("InternalServiceError"), Retryable),
        (EndpointConnectionError(endpoint_url="x"), Retryable),
    ],
)
@pytest.mark.parametrize("more", [{"secret": "s"}, {"auth": "iam", "workgroup": "w"}, {"auth": "iam", "cluster": "c"}])
def test_what_aws_refuses_stops_or_waits(error: Exception, kind: type[Exception], more: dict[str, Any]) -> None:
    with pytest.raises(kind):
        logins_of(options(**more), answers(error)).get()


@pytest.mark.parametrize(
    ("more", "lacks"),
    [
        ({}, "`secret`"),
        ({"auth": "iam"}, "`workgroup`"),
        ({"auth": "password", "username": "u"}, "`password`"),
        ({"secret": "s", "tls": False}, "on this machine"),
        ({"secret": "s", "tls": False, "host": "127.example.com"}, "on this machine"),
    ],
)
def test_options_that_can_not_be_are_refused_at_once(more: dict[str, Any], lacks: str) -> None:
    wanted = WarehouseOptions(**({"host": "warehouse.example", "database": "dev"} | more))
    with pytest.raises(ConfigurationError, match=lacks):
        connector(wanted, answers())


def test_no_password_is_shown() -> None:
    assert "hidden" not in repr(Login("u", "hidden")) + repr(options(auth="password", username="u", password="hidden"))
