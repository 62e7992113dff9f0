"""The code in the template that tells a new domain which roles may do what, against a server of the test's own."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import urllib3

from tests.deployment.cloudformation import load_template

WRITERS = ["arn:aws:iam::123456789012:role/stream", "arn:aws:iam::123456789012:role/drain"]
AGGREGATORS = ["arn:aws:iam::123456789012:role/emitter"]
MASTERS = ["arn:aws:iam::123456789012:role/access"]
API = "/_plugins/_security/api/"


@dataclass
class Domain:
    """Answers with the next of `statuses`, then with 201; keeps what it was asked."""

    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    endpoint: str = ""


@pytest.fixture
def domain() -> Iterator[Domain]:
    found = Domain()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.requests.append((self.command, self.path, body))
            found.signed.append(self.headers["Authorization"])
            self.send_response(found.statuses.pop(0) if found.statuses else 201)
            self.end_headers()
            self.wfile.write(b"said the domain")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found.endpoint = f"127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Access:
    """The function as the template has it, with everything of Lambda's that it imports."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[str, str | None]] = []
        self.pauses: list[float] = []
        template = load_template()
        self.code: str = template["Resources"]["OpenSearchAccessFunction"]["Properties"]["Code"]["ZipFile"]
        response = ModuleType("cfnresponse")
        vars(response).update(SUCCESS="SUCCESS", FAILED="FAILED", send=self._send)
        monkeypatch.setitem(sys.modules, "cfnresponse", response)
        for name, value in {"ACCESS_KEY_ID": "AKID", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "eu-west-1"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        self.module = ModuleType("index")
        exec(self.code, vars(self.module))  # noqa: S102 - the template's own
        # The domain of the test speaks no TLS, and nobody waits for it.
        vars(self.module)["urllib3"] = SimpleNamespace(PoolManager=_Plain, exceptions=urllib3.exceptions)
        vars(self.module)["put_in_time"].__defaults__ = (self.pauses.append,)

    def get_remaining_time_in_millis(self) -> int:
        """What Lambda's context says: less by each pause."""
        return int(300_000 - 1000 * sum(self.pauses))

    def _send(self, event: object, context: object, status: str, data: object, name: str, reason: str | None) -> None:
        assert (data, name) == ({}, "aetherstream-roles")
        self.sent.append((status, reason))

    def handle(self, kind: str, domain: Domain) -> None:
        given = {"Endpoint": domain.endpoint, "Writers": WRITERS, "Aggregators": AGGREGATORS, "Masters": MASTERS}
        vars(self.module)["handler"]({"RequestType": kind, "ResourceProperties": given}, self)


class _Plain(urllib3.PoolManager):
    def request(self, method: str, url: str, **given: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        return super().request(method, url.replace("https://", "http://"), **given)


@pytest.fixture
def access(monkeypatch: pytest.MonkeyPatch) -> Access:
    return Access(monkeypatch)


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_writers_get_a_role_of_their_own_and_masters_everything(access: Access, domain: Domain, kind: str) -> None:
    access.handle(kind, domain)
    [(_, _, role), writers, (_, _, removing), *mappings] = domain.requests
    assert [(method, path) for method, path, _ in domain.requests] == [
        ("PUT", f"{API}roles/aetherstream"),
        ("PUT", f"{API}rolesmapping/aetherstream"),
        ("PUT", f"{API}roles/aetherstream_results"),
        ("PUT", f"{API}rolesmapping/aetherstream_results"),
        ("PUT", f"{API}rolesmapping/all_access"),
        ("PUT", f"{API}rolesmapping/security_manager"),
    ]
    assert role.keys() == {"cluster_permissions", "index_permissions"}
    remove = {"index_patterns": ["*"], "allowed_actions": ["indices:data/write/delete"]}
    assert removing == {"index_permissions": [remove]}
    assert [body for _, _, body in (writers, *mappings)] == [
        {"backend_roles": WRITERS + AGGREGATORS},
        {"backend_roles": AGGREGATORS},
        {"backend_roles": MASTERS},
        {"backend_roles": MASTERS},
    ]
    assert access.sent == [("SUCCESS", None)]


def test_writers_may_write_documents_and_neither_read_nor_delete_them(access: Access, domain: Domain) -> None:
    access.handle("Create", domain)
    [_, _, role] = domain.requests[0]
    [indices] = role["index_permissions"]
    actions = role["cluster_permissions"] + indices["allowed_actions"]
    assert sorted(action for action in actions if action.startswith("indices:data/")) == [
        "indices:data/write/bulk",
        "indices:data/write/bulk*",
        "indices:data/write/index",
    ]
    assert [action for action in actions if "*" in action] == ["indices:data/write/bulk*"]


def test_requests_are_signed_for_the_domains_region(access: Access, domain: Domain) -> None:
    access.handle("Create", domain)
    assert {header.split()[0] for header in domain.signed} == {"AWS4-HMAC-SHA256"}
    assert {header.split("/")[2] + " " + header.split("/")[3] for header in domain.signed} == {"eu-west-1 es"}


def test_a_domain_that_is_not_ready_is_asked_again(access: Access, domain: Domain) -> None:
    domain.statuses = [403, 503, 201]
    access.handle("Create", domain)
    assert [path for _, path, _ in domain.requests[:4]] == [f"{API}roles/aetherstream"] * 3 + [
        f"{API}rolesmapping/aetherstream"
    ]
    assert (access.sent, access.pauses) == ([("SUCCESS", None)], [10, 10])


def test_a_domain_that_goes_on_refusing_fails_the_deployment_with_its_words(access: Access, domain: Domain) -> None:
    domain.statuses = [403] * 50
    access.handle("Create", domain)
    why = f"the domain did not take its roles: PUT {API}roles/aetherstream: 403 said the domain"
    assert access.sent == [("FAILED", why)]
    # In time: there must be some left to say so.
    assert access.get_remaining_time_in_millis() == 20_000


def test_deleting_the_stack_asks_nothing_of_the_domain_that_stays(access: Access, domain: Domain) -> None:
    access.handle("Delete", domain)
    assert (domain.requests, access.sent) == ([], [("SUCCESS", None)])


def test_cloudformation_waits_for_it_longer_than_it_may_run() -> None:
    resources = load_template()["Resources"]
    timeout = resources["OpenSearchAccessFunction"]["Properties"]["Timeout"]
    assert timeout < resources["OpenSearchAccess"]["Properties"]["ServiceTimeout"]


def test_the_code_fits_into_the_template(access: Access) -> None:
    # AWS: Code.ZipFile takes 4 MB; AetherStream keeps it to what can be read there.
    assert len(access.code.splitlines()) < 100
