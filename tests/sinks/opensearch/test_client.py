"""What goes over the wire: signatures, users, compression. Checked where it arrives."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import orjson
import pytest
from botocore.credentials import Credentials

from aetherstream.errors import ConfigurationError
from aetherstream.sinks.base import Documents
from aetherstream.sinks.opensearch.client import Client, SecretUser, basic, sigv4
from aetherstream.sinks.opensearch.sink import OpenSearchSink
from aetherstream.sinks.opensearch.wire import Unreachable

CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "the-token")


class Listener(ThreadingHTTPServer):
    """Keeps what arrives, and answers with the next of `statuses`, then 200."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.connections = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler) -> None:  # noqa: N805
                body = handler.rfile.read(int(handler.headers["content-length"]))
                headers = {name.lower(): value for name, value in handler.headers.items()}
                self.arrived.append((handler.command, handler.path, headers, body))
                handler.send_response(self.statuses.pop(0) if self.statuses else 200)
                handler.send_header("content-length", "2")
                handler.end_headers()
                handler.wfile.write(b"{}")

            def log_message(handler, *args: Any) -> None:  # noqa: N805
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def signature(method: str, target: str, headers: dict[str, str], body: bytes, secret: str) -> tuple[str, str]:
    """The signature that arrived, and the one that belongs to what arrived (AWS: Signature Version 4)."""
    scheme, _, rest = headers["authorization"].partition(" ")
    assert scheme == "AWS4-HMAC-SHA256"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    _, date, region, service, end = parts["Credential"].split("/")
    url = urlsplit(target)
    query = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parse_qsl(url.query))
    names = parts["SignedHeaders"].split(";")
    payload = hashlib.sha256(body).hexdigest()
    assert headers["x-amz-content-sha256"] == payload
    request = "\n".join(
        [
            method,
            quote(url.path),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{headers[name].strip()}" for name in names),
            "",
            ";".join(names),
            payload,
        ]
    )
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], f"{date}/{region}/{service}/{end}", digest])
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, end):
        key = hmac.digest(key, part.encode(), "sha256")
    return parts["Signature"], hmac.new(key, to_sign.encode(), "sha256").hexdigest()


@pytest.mark.parametrize("service", ["es", "aoss"])
@pytest.mark.parametrize("compress", [False, True])
def test_a_request_arrives_as_it_was_signed(listener: Listener, service: str, compress: bool) -> None:
    client = Client(listener.url, sign=sigv4(CREDENTIALS, "eu-west-1", service), compress=compress)
    OpenSearchSink("search", client, require_alias=True).deliver(Documents(["é:1"], ["flights"], [b"{}"]), 0.5)
    method, target, headers, body = listener.arrived[0]
    arrived, right = signature(method, target, headers, body, CREDENTIALS.secret_key)
    assert arrived == right
    assert f"/eu-west-1/{service}/aws4_request" in headers["authorization"]
    assert "x-amz-content-sha256" in headers["authorization"]
    assert headers["x-amz-security-token"] == "the-token"
    assert headers.get("content-encoding") == ("gzip" if compress else None)
    assert (gzip.decompress(body) if compress else body).startswith(b'{"create":{"_index":"flights"')


def test_credentials_that_were_renewed_are_used(listener: Listener) -> None:
    class Renewing:
        count = 0

        def get_frozen_credentials(self) -> Credentials:
            self.count += 1
            return Credentials(f"KEY{self.count}", "secret")

    client = Client(listener.url, sign=sigv4(Renewing(), "eu-west-1", "es"))  # type: ignore[arg-type]
    for _ in range(2):
        client.request("POST", "/_bulk", b"{}", 5.0)
    assert [headers["authorization"].split("=")[1][:4] for _, _, headers, _ in listener.arrived] == ["KEY1", "KEY2"]


def test_a_user_is_named_in_utf_8(listener: Listener) -> None:
    Client(listener.url, sign=basic("müller", "pass:wörd")).request("POST", "/_bulk", b"{}", 5.0)
    kind, _, word = listener.arrived[0][2]["authorization"].partition(" ")
    assert (kind, base64.b64decode(word).decode()) == ("Basic", "müller:pass:wörd")


class Secret:
    """A secret that is rotated with each reading."""

    def __init__(self) -> None:
        self.read = 0
        self.now = 0.0

    def __call__(self) -> str:
        self.read += 1
        return orjson.dumps({"username": "u", "password": f"p{self.read}"}).decode()

    def clock(self) -> float:
        return self.now


def passwords(listener: Listener) -> list[str]:
    return [
        base64.b64decode(headers["authorization"][6:]).decode().partition(":")[2]
        for _, _, headers, _ in listener.arrived
    ]


def test_a_secret_is_read_once_and_again_after_a_401(listener: Listener) -> None:
    secret = Secret()
    client = Client(listener.url, sign=SecretUser(secret, secret.clock))
    for now, status in ((0.0, 200), (1000.0, 200), (2000.0, 401)):
        secret.now = now
        listener.statuses.append(status)
        assert client.request("POST", "/_bulk", b"{}", 5.0).status == 200
    assert (secret.read, passwords(listener)) == (2, ["p1", "p1", "p1", "p2"])


def test_a_secret_that_stays_refused_is_not_read_with_every_request(listener: Listener) -> None:
    secret = Secret()
    client = Client(listener.url, sign=SecretUser(secret, secret.clock))
    listener.statuses += [401] * 4
    assert [client.request("POST", "/_bulk", b"{}", 5.0).status for _ in range(3)] == [401, 401, 401]
    assert secret.read == 1


@pytest.mark.parametrize("text", ["", "[]", '{"username":"u"}', "plain"])
def test_a_secret_of_another_form_is_said_without_its_text(listener: Listener, text: str) -> None:
    client = Client(listener.url, sign=SecretUser(lambda: text))
    with pytest.raises(Unreachable, match="the secret of the OpenSearch user is not the JSON that it has to be"):
        client.request("POST", "/_bulk", b"{}", 5.0)
    assert listener.arrived == []


def test_a_path_of_the_endpoint_stands_before_every_other(listener: Listener) -> None:
    Client(f"{listener.url}/search/").request("POST", "/_bulk", b"{}", 5.0)
    assert listener.arrived[0][1] == "/search/_bulk"


def test_a_connection_is_used_again_until_it_was_idle_for_long(listener: Listener) -> None:
    now = [0.0]
    client = Client(listener.url, clock=lambda: now[0])
    for seconds, connections in ((0.0, 1), (40.0, 1), (60.0, 2)):
        now[0] += seconds
        client.begin()
        client.request("POST", "/_bulk", b"{}", 5.0)
        assert listener.connections == connections
    client.close()


def test_nothing_is_sent_without_time(listener: Listener) -> None:
    with pytest.raises(Unreachable, match="no time left"):
        Client(listener.url).request("POST", "/_bulk", b"{}", 0.0)
    assert listener.arrived == []


@pytest.mark.parametrize("endpoint", ["", "search.example", "ftp://search.example", "https://"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write it as https://host\[:port\]"):
        Client(endpoint)
