from __future__ import annotations

import socket
from pathlib import Path

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.opensearch_ports import PORTS, reserve


def free_range(length: int) -> range:
    """Ports in a row that nobody listens on, away from those of servers."""
    for start in range(20_000, 30_000, length):
        probes = [socket.socket() for _ in range(length)]
        try:
            for offset, probe in enumerate(probes):
                probe.bind(("127.0.0.1", start + offset))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return range(start, start + length)
    raise AssertionError("no free ports")


def test_the_runner_can_listen_on_every_port() -> None:
    assert (PORTS[0] - 1, PORTS[-1]) == (9200, 9299)


def test_each_gets_a_port_of_its_own(tmp_path: Path) -> None:
    ports = free_range(3)
    reserved = [reserve(tmp_path, ports) for _ in ports]
    assert [port.number for port in reserved] == list(ports)
    for port in reserved:
        port.release()


def test_a_port_where_somebody_listens_is_passed_over(tmp_path: Path) -> None:
    ports = free_range(2)
    with socket.create_server(("127.0.0.1", ports[0])):
        port = reserve(tmp_path, ports)
    assert port.number == ports[1]
    port.release()


def test_a_released_port_is_given_again(tmp_path: Path) -> None:
    ports = free_range(1)
    reserve(tmp_path, ports).release()
    again = reserve(tmp_path, ports)
    assert again.number == ports[0]
    again.release()


def test_no_port_left_is_said(tmp_path: Path) -> None:
    ports = free_range(1)
    port = reserve(tmp_path, ports)
    with pytest.raises(UsageError, match=f"^every port from {ports[0]} to {ports[0]} is taken"):
        reserve(tmp_path, ports)
    port.release()
