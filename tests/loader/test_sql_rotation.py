# ruff: noqa: S106 - passwords of the tests' own
"""A secret that is rotated while the loader runs: in MiniStack's Secrets Manager, and in the stand-in for Redshift."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.entry import Logins, connector, logins_of
from aetherstream.local.environment import REGION
from tests.loader.sql_bench import SECONDS, Bench

pytestmark = pytest.mark.integration


class Session:
    """A session whose clients ask MiniStack."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def client(self, service: Any, **more: Any) -> Any:
        return boto3.client(
            service,
            **(more | {"region_name": REGION}),
            endpoint_url=self._endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@pytest.fixture
def user(bench: Bench) -> Iterator[str]:
    name = bench.schema.replace("test", "rotated")
    bench.own(f"CREATE ROLE {name} LOGIN PASSWORD 'first'")
    yield name
    bench.own(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def session(bucket: tuple[str, str]) -> Any:
    return Session(bucket[0])


def secret(user: str, password: str) -> str:
    return json.dumps({"username": user, "password": password, "engine": "redshift"})


def test_a_rotated_secret_is_read_again_when_its_login_is_refused(bench: Bench, user: str, session: Any) -> None:
    manager = session.client("secretsmanager")
    arn = manager.create_secret(Name=user, SecretString=secret(user, "first"))["ARN"]
    target = bench.target(auth="secret", secret=arn, username=None, password=None)
    connect = connector(target.warehouse, session)
    connect(SECONDS).close()
    bench.own(f"ALTER ROLE {user} PASSWORD 'second'")
    manager.put_secret_value(SecretId=arn, SecretString=secret(user, "second"))
    kept = connect(SECONDS)
    assert [list(row) for row in kept.run("SELECT 1")] == [[1]]
    kept.close()


def test_a_secret_that_is_wrong_is_told_without_its_password(bench: Bench, user: str, session: Any) -> None:
    manager = session.client("secretsmanager")
    arn = manager.create_secret(Name=user, SecretString=secret(user, "wrong-one"))["ARN"]
    connect = connector(bench.target(auth="secret", secret=arn).warehouse, session)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=rf"refuses {user} \(auth: secret\).*password") as error:
            connect(SECONDS)
        assert "wrong-one" not in str(error.value)


def test_a_secret_that_is_not_there_is_told(bench: Bench, session: Any) -> None:
    logins: Logins = logins_of(bench.target(auth="secret", secret="nothing-here").warehouse, session)
    with pytest.raises(ConfigurationError, match=r"secret nothing-here.*secretsmanager:GetSecretValue"):
        logins.get()


def test_a_database_that_is_not_there_is_told(bench: Bench) -> None:
    target = bench.target(database="elsewhere")
    with pytest.raises(ConfigurationError, match=r'/elsewhere refuses .* database "elsewhere" does not exist'):
        bench.warehouse(target).known([], SECONDS)


def test_a_warehouse_that_does_not_answer_may_work_later(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = bench.target(port=silent.getsockname()[1])
        with pytest.raises(Retryable, match=r"can't be reached: .*timed? out"):
            bench.warehouse(target, tries=1).known(["x"], 0.5)
    with pytest.raises(Retryable, match=r"can't be reached: .*refused"):
        bench.warehouse(target, tries=2, sleep=lambda _: None).known(["x"], 5.0)


# The driver makes its context in a way that Python no longer likes.
@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")
def test_tls_is_asked_for_unless_it_is_turned_off(bench: Bench) -> None:
    # The stand-in has none.
    with pytest.raises(ConfigurationError, match="Server refuses SSL"):
        bench.warehouse(bench.target(tls=True)).known(["x"], 5.0)


@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")
def test_a_certificate_that_nobody_vouches_for_ends_it_before_the_password(bench: Bench, tmp_path: Path) -> None:
    said: list[bytes] = []

    def serve(server: socket.socket, context: ssl.SSLContext) -> None:
        client, _ = server.accept()
        client.recv(8)
        client.sendall(b"S")
        with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as safe:
            said.append(safe.recv(100))
        client.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server, context))
        thread.start()
        target = bench.target(tls=True, port=server.getsockname()[1])
        with pytest.raises(ConfigurationError, match=r"(?i)can't be trusted.*certificate verify failed"):
            bench.warehouse(target).known(["x"], 10.0)
        thread.join()
    assert b"".join(said) == b""


def self_signed(directory: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
