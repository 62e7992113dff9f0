from __future__ import annotations

import gc
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redshift_connector
from redshift_connector.error import InterfaceError, ProgrammingError

from aetherstream.errors import UsageError
from aetherstream.local.environment import choose_port
from aetherstream.local.redshift import LocalRedshift

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LocalRedshift]:
    """A stand-in of the test's own, started."""
    with LocalRedshift(tmp_path, s3_endpoint=NOWHERE) as server:
        yield server


def ask(server: LocalRedshift, sql: str) -> object:
    with redshift_connector.connect(**server.login) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def data_of(server: LocalRedshift) -> Path:
    return (server.directory / "data").readlink()


def test_a_stand_in_that_is_not_started_has_no_port(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this Redshift is not started"):
        _ = LocalRedshift(tmp_path, s3_endpoint=NOWHERE).port


@pytest.mark.integration
def test_the_driver_connects_with_all_that_it_says_at_the_start(warehouse: LocalRedshift) -> None:
    assert ask(warehouse, "select current_user, current_database()") == (["awsuser", "dev"],)


@pytest.mark.integration
def test_it_listens_on_loopback_only_and_the_embedded_server_nowhere(own: LocalRedshift) -> None:
    tables = [Path("/proc/net/tcp").read_text(), Path("/proc/net/tcp6").read_text()]
    listening = [line.split()[1] for table in tables for line in table.splitlines() if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{own.port:04X}")] == [f"0100007F:{own.port:04X}"]
    assert ask(own, "show listen_addresses") == ([""],)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"user": "nobody"}])
def test_who_may_not_enter_is_told_as_redshift_does(warehouse: LocalRedshift, wrong: dict[str, str]) -> None:
    said = ""
    try:
        redshift_connector.connect(**{**warehouse.login, **wrong})
    except InterfaceError as error:
        said = error.args[0]["M"]
    gc.collect()  # the driver leaves its socket open
    user = wrong.get("user", "awsuser")
    assert said == f'password authentication failed for user "{user}"'


@pytest.mark.integration
def test_there_is_no_tls(warehouse: LocalRedshift) -> None:
    with socket.create_connection((warehouse.host, warehouse.port), timeout=10) as client:
        client.sendall(struct.pack("!ii", 8, 80877103))
        assert client.recv(1) == b"N"


@pytest.mark.integration
def test_what_is_no_start_up_is_turned_away(warehouse: LocalRedshift) -> None:
    with socket.create_connection((warehouse.host, warehouse.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"invalid length of startup packet" in client.recv(4096)
    assert ask(warehouse, "select 1") == ([1],)


@pytest.mark.integration
def test_a_killed_one_comes_back_with_its_data_on_its_port(own: LocalRedshift) -> None:
    port = own.port
    ask(own, "create table t as select 1 as a")
    own.kill()
    assert not own.running
    own.start()
    assert (own.port, ask(own, "select a from t")) == (port, ([1],))
    own.stop()
    own.start()
    assert (own.port, ask(own, "select a from t")) == (port, ([1],))


@pytest.mark.integration
def test_a_closed_one_leaves_its_log_and_no_process_and_no_data(own: LocalRedshift) -> None:
    pid, port, data = own.pid, own.port, data_of(own)
    own.close()
    own.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert choose_port(port) == port
    assert (data.exists(), [path.name for path in own.directory.iterdir()]) == (False, ["redshift.log"])
    assert "database system is shut down" in own.log.read_text()


@pytest.mark.integration
def test_where_isolation_is_serializable_write_skew_is_refused(tmp_path: Path) -> None:
    with LocalRedshift(tmp_path, s3_endpoint=NOWHERE, isolation="serializable") as server:
        ask(server, "create table t as select 1 as a")
        one, other = (redshift_connector.connect(**server.login) for _ in range(2))
        with one, other, one.cursor() as first, other.cursor() as second:
            first.execute("select count(*) from t")
            second.execute("select count(*) from t")
            first.execute("insert into t select count(*) from t")
            second.execute("insert into t select count(*) from t")
            one.commit()
            with pytest.raises(ProgrammingError) as caught:
                other.commit()
    assert (caught.value.args[0]["C"], caught.value.args[0]["M"]) == ("XX000", "1023")


@pytest.mark.integration
def test_a_taken_port_is_told(tmp_path: Path, warehouse: LocalRedshift) -> None:
    with pytest.raises(UsageError, match=f"port {warehouse.port} on 127.0.0.1 can't be used"):
        LocalRedshift(tmp_path, s3_endpoint=NOWHERE, port=warehouse.port).start()


@pytest.mark.integration
def test_why_it_does_not_start_is_told(tmp_path: Path, own: LocalRedshift) -> None:
    data = data_of(own)
    own.stop()
    (data / "data" / "global" / "pg_control").unlink()
    with pytest.raises(UsageError, match=r"(?s)ended while it started; its log is .*pg_control"):
        own.start()


@pytest.mark.integration
def test_when_the_embedded_server_dies_so_does_the_stand_in(own: LocalRedshift) -> None:
    postmaster = int((data_of(own) / "data" / "postmaster.pid").read_text().split()[0])
    process = os.pidfd_open(own.pid) if hasattr(os, "pidfd_open") else pytest.skip("only Linux lets wait for it")
    os.kill(postmaster, signal.SIGKILL)
    ended, _, _ = select.select([process], [], [], 30)
    os.close(process)
    assert (ended, own.running) == ([process], False)
    own.start()
    assert ask(own, "select 1") == ([1],)


@pytest.mark.integration
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux lets a stranger wait for a process")
def test_a_killed_owner_takes_it_along_and_the_next_start_clears_up(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from aetherstream.local.redshift import LocalRedshift\n"
        "server = LocalRedshift(Path(sys.argv[1]), s3_endpoint='http://127.0.0.1:9')\n"
        "server.start()\n"
        "print(server.pid, server.port, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, port = map(int, owner.stdout.readline().split())
        process = os.pidfd_open(pid)
        owner.kill()
    ended, _, _ = select.select([process], [], [], 30)
    os.close(process)
    assert ended == [process]
    assert choose_port(port) == port
    left = (tmp_path / "data").readlink()
    with LocalRedshift(tmp_path, s3_endpoint=NOWHERE) as server:
        assert (left.exists(), ask(server, "select 1")) == (False, ([1],))
