from __future__ import annotations

import http.client
import http.server
import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.environment import choose_port
from aetherstream.local.opensearch import LocalOpenSearch, existing_url
from tests.integration.ground import until
from tests.opensearch_fixture import ServerFactory


def call(method: str, url: str, body: object = None) -> dict[str, Any]:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=30)
    try:
        content = {"Content-Type": "application/json"}
        connection.request(method, f"{where.path}?{where.query}", None if body is None else json.dumps(body), content)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    finally:
        connection.close()
    assert response.status in (200, 201), answer
    return answer


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"OPENSEARCH_URL": ""}, None),
        ({"OPENSEARCH_URL": "http://127.0.0.1:9200/"}, "http://127.0.0.1:9200"),
        ({"OPENSEARCH_URL": "https://search.example.com"}, "https://search.example.com"),
    ],
)
def test_an_existing_server_is_named_by_opensearch_url(environ: dict[str, str], url: str | None) -> None:
    assert existing_url(environ) == url


@pytest.mark.parametrize("url", ["search.example.com", "https://me:secret@host", "http://host/prefix", "http://a b"])
def test_an_existing_server_by_anything_but_host_and_port_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"^OPENSEARCH_URL must be http://host:port or https://host:port"):
        existing_url({"OPENSEARCH_URL": url})


def test_a_server_that_is_not_started_has_no_url(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this OpenSearch is not started"):
        _ = LocalOpenSearch(tmp_path).url


@pytest.mark.integration
def test_documents_go_in_and_come_out(opensearch: str, index_prefix: str) -> None:
    call("PUT", f"{opensearch}/{index_prefix}/_create/1?refresh=true", {"origin": "JFK", "delay": 2})
    found = call("GET", f"{opensearch}/{index_prefix}/_search?q=origin:JFK")["hits"]["hits"]
    assert [(hit["_id"], hit["_source"]) for hit in found] == [("1", {"origin": "JFK", "delay": 2})]


@pytest.mark.integration
def test_it_listens_on_loopback_only(opensearch: str) -> None:
    (node,) = call("GET", f"{opensearch}/_nodes/http,transport")["nodes"].values()
    bound = [*node["http"]["bound_address"], *node["transport"]["bound_address"]]
    assert {address.rpartition(":")[0] for address in bound} == {"127.0.0.1"}


@pytest.mark.integration
def test_settings_are_the_servers(opensearch_server: ServerFactory) -> None:
    server = opensearch_server({"thread_pool.write.queue_size": 1, "thread_pool.write.size": 1})
    (node,) = call("GET", f"{server.url}/_nodes/thread_pool")["nodes"].values()
    assert node["thread_pool"]["write"] == {"type": "fixed", "size": 1, "queue_size": 1}


@pytest.mark.integration
def test_a_killed_server_comes_back_with_its_data_on_its_port(opensearch_server: ServerFactory) -> None:
    server = opensearch_server()
    url = server.url
    call("PUT", f"{url}/flights/_create/1", {"origin": "JFK"})
    server.kill()
    assert not server.running
    assert choose_port(port_of(url)) == port_of(url)
    server.start()
    assert server.url == url
    assert call("GET", f"{url}/flights/_doc/1")["_source"] == {"origin": "JFK"}
    server.stop()
    server.start()
    assert call("GET", f"{url}/flights/_doc/1")["_source"] == {"origin": "JFK"}


@pytest.mark.integration
def test_a_closed_server_leaves_its_log_and_no_process_and_no_data(opensearch_server: ServerFactory) -> None:
    server = opensearch_server()
    pid, port = server.pid, port_of(server.url)
    server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert choose_port(port) == port
    assert list(server.directory.glob("data-*")) == []
    assert "started" in server.log.read_text()


@pytest.mark.integration
def test_two_servers_take_ports_of_their_own(opensearch_server: ServerFactory) -> None:
    one, other = opensearch_server(), opensearch_server()
    uuids = {call("GET", server.url)["cluster_uuid"] for server in (one, other)}
    assert (one.url != other.url, len(uuids)) == (True, 2)


@pytest.mark.integration
def test_a_port_that_somebody_takes_first_is_left_to_him(tmp_path: Path, opensearch: str) -> None:
    server = LocalOpenSearch(tmp_path)
    server.launch()
    taken = port_of(server.url)
    with http.server.ThreadingHTTPServer(("127.0.0.1", taken), http.server.BaseHTTPRequestHandler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            server.wait()
            assert call("GET", server.url)["version"]["distribution"] == "opensearch"
            assert port_of(server.url) != taken
        finally:
            server.close()
            other.shutdown()
            thread.join()


@pytest.mark.integration
def test_a_server_that_died_by_itself_is_stopped_and_started_like_another(opensearch_server: ServerFactory) -> None:
    server = opensearch_server()
    server.signal(signal.SIGTERM)
    until(lambda: not server.running, "the server has ended")
    server.stop()
    server.start()
    assert server.running


@pytest.mark.integration
def test_a_setting_that_the_server_refuses_is_told_with_its_reason(opensearch_server: ServerFactory) -> None:
    with pytest.raises(UsageError, match=r"(?s)^OpenSearch ended while it started; .*max_content_length.*nonsense"):
        opensearch_server({"http.max_content_length": "nonsense"})


@pytest.mark.integration
def test_a_hanging_server_goes_on_where_it_was(opensearch_server: ServerFactory) -> None:
    server = opensearch_server()
    server.signal(signal.SIGSTOP)
    waiting = http.client.HTTPConnection("127.0.0.1", port_of(server.url), timeout=0.2)
    waiting.request("GET", "/")
    with pytest.raises(TimeoutError):
        waiting.getresponse()
    waiting.close()
    server.signal(signal.SIGCONT)
    assert call("GET", server.url)["version"]["distribution"] == "opensearch"


@pytest.mark.integration
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux lets a stranger wait for a process")
def test_a_killed_owner_takes_the_server_with_it(tmp_path: Path, opensearch: str) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from aetherstream.local.opensearch import LocalOpenSearch\n"
        "server = LocalOpenSearch(Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.pid, server.url, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, url = owner.stdout.readline().split()
        server = os.pidfd_open(int(pid))
        owner.kill()
    ended, _, _ = select.select([server], [], [], 30)
    os.close(server)
    assert ended == [server]
    assert choose_port(port_of(url)) == port_of(url)
