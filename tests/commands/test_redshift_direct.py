"""`aetherstream redshift plan` and `apply` with a file and a connection from here, against the stand-in."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redshift_connector.core import Connection

from aetherstream.cli import main
from aetherstream.local.redshift import LocalRedshift

pytestmark = pytest.mark.integration

SEPARATE: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
WAY_OUT = (
    "write the table's type into the contract, or add a column of another name and copy the values into it, or make a "
    "new table"
)
PIPELINE = """\
pipeline: p
sinks:
  warehouse:
    redshift:
      endpoint: ${{WAREHOUSE}}
      auth: password
      username: ${{WAREHOUSE_USER}}
      password: ${{WAREHOUSE_PASSWORD}}
      tls: "off"
      bucket: data
      table: {schema}.flights
      columns: {{origin: char(3), {column}}}
quarantine: {{s3: {{bucket: data}}}}
"""


class Project:
    """A pipeline file, and the variables that it wants."""

    def __init__(self, folder: Path, schema: str, server: LocalRedshift) -> None:
        self.file = folder / "p.yaml"
        self.schema = schema
        self.endpoint = f"{server.host}:{server.port}/{server.database}"
        self.variables = {
            "WAREHOUSE": self.endpoint,
            "WAREHOUSE_USER": server.user,
            "WAREHOUSE_PASSWORD": server.password,
        }
        self.write("distance: integer")

    def write(self, column: str) -> None:
        self.file.write_text(PIPELINE.format(schema=self.schema, column=column))

    def call(self, do: str, *arguments: str, **changed: str) -> Result:
        given = [f"--env={name}={value}" for name, value in {**self.variables, **changed}.items()]
        return CliRunner(**SEPARATE).invoke(
            main, ["redshift", do, "--pipeline", str(self.file), "--region", "eu-central-1", *given, *arguments]
        )

    def lines(self, do: str, *arguments: str, code: int = 0) -> list[str]:
        result = self.call(do, *arguments)
        assert (result.exit_code, result.stderr) == (code, ""), result.exception
        head, *rest = result.stdout.splitlines()
        assert head == f"warehouse: {self.schema}.flights, at {self.endpoint}"
        return rest


@pytest.fixture
def project(tmp_path: Path, schema: str, warehouse: LocalRedshift) -> Project:
    return Project(tmp_path, schema, warehouse)


def test_a_table_is_made_and_then_as_its_contract_wants_it(project: Project) -> None:
    schema = project.schema
    planned = [
        f"  lacks: create table {schema}.aetherstream_loads",
        f"  lacks: create table {schema}.aetherstream_tables",
        f"  lacks: create table {schema}.aetherstream_turns",
        f"  lacks: create table {schema}.flights",
        f"  lacks: note in {schema}.aetherstream_tables that flights is kept by append",
    ]
    assert project.lines("plan") == [*planned, "  Nothing was changed. `aetherstream redshift apply` does it."]
    assert project.lines("apply") == [line.replace("lacks", "done") for line in planned]
    assert project.lines("plan") == ["  the table is as its contract wants it"]
    assert project.lines("apply") == ["  the table is as its contract wants it"]


def test_a_new_column_and_a_wider_one_are_made(project: Project) -> None:
    project.write("aircraft: varchar(6)")
    project.lines("apply")
    project.write("aircraft: varchar(16), distance: integer")
    assert project.lines("apply", "--sql") == [
        "  done: widen column aircraft from varchar(6) to varchar(16)",
        f'    ALTER TABLE "{project.schema}"."flights" ALTER COLUMN "aircraft" TYPE VARCHAR(16);',
        "  done: add column distance integer",
        f'    ALTER TABLE "{project.schema}"."flights" ADD COLUMN "distance" INTEGER;',
    ]
    assert project.lines("plan", "--exit-code") == ["  the table is as its contract wants it"]


def test_another_type_is_refused_and_nothing_is_done(project: Project) -> None:
    project.lines("apply")
    project.write("distance: varchar(8), carrier: char(2)")
    refused = project.lines("apply", code=1)
    assert refused == [
        "  lacks: add column carrier char(2)",
        "  REFUSED  distance: is integer in the table, not varchar(8)",
        f"    {WAY_OUT}",
        "  Nothing is done to the table, and nothing loads into it, until that is settled.",
    ]
    assert project.lines("plan", code=1) == refused


def test_statements_of_offline_make_what_plan_wants(project: Project, connection: Connection) -> None:
    offline = project.call("plan", "--offline")
    assert offline.exit_code == 0
    connection.rollback()
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in offline.stdout.split(";\n"):
            if statement:
                cursor.execute(statement)
    assert project.lines("plan") == ["  the table is as its contract wants it"]


def test_a_wrong_password_is_told_with_what_to_look_at(project: Project) -> None:
    project.variables |= {"WAREHOUSE_PASSWORD": "wrong"}
    result = project.call("plan")
    assert result.exit_code == 1
    assert f"TROUBLE  redshift: {project.endpoint} refuses awsuser (auth: password)" in result.stdout


def test_a_warehouse_that_is_not_there_is_told(project: Project) -> None:
    result = project.call("plan", WAREHOUSE="127.0.0.1:9/dev")
    assert result.exit_code == 1
    assert "TROUBLE" in result.stdout
    assert "127.0.0.1:9 can't be reached" in result.stdout
