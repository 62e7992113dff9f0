"""The Redshift sink of a pipeline file: what is read, what is refused, and how sinks that are off are treated."""

from pathlib import Path
from typing import Any

import pytest

from aetherstream.commands.core import core_runner
from aetherstream.pipeline.cases import Case, run_cases
from aetherstream.pipeline.model_objects import PartitionPart
from aetherstream.pipeline.model_redshift import LoadRules, RedshiftSink, TableColumn, TableDistribution, full_column
from aetherstream.pipeline.warehouse import Endpoint, endpoint
from tests.pipeline.writing import ENV, loaded, mistakes

HOST = "host.example.org/dev"
SECRET = "secret: s"  # noqa: S105 - the name of one
TABLE = "table: flights"
COLUMNS = "columns: {origin: char(3)}"
API = "load: {through: data_api}"
ROLE = "arn:aws:iam::123456789012:role/load"


def table(*lines: str, place: str = HOST, bucket: str = "data-bucket") -> str:
    """A pipeline whose sink `warehouse` has these lines from line 7 on; its endpoint stands in line 5."""
    sink = [f"endpoint: {place}", f"bucket: {bucket}", *lines]
    return "pipeline: p\nsinks:\n  warehouse:\n    redshift:\n" + "".join(f"      {line}\n" for line in sink)


def said(folder: Path, text: str, **env: str) -> list[str]:
    found = mistakes(folder, text, {**ENV, **env})
    return [f"{at} {path.replace('sinks.warehouse.redshift', '~')}: {message}" for at, path, message in found]


def wrong(folder: Path, *lines: str, place: str = HOST) -> list[str]:
    """What is said of a sink that is sound but for these lines, which begin in line 7."""
    given = {line.partition(":")[0] for line in lines}
    rest = [line for line in (SECRET, TABLE, COLUMNS) if line.partition(":")[0] not in given]
    return said(folder, table(*lines, *rest, place=place))


def one(folder: Path, *lines: str, place: str = HOST) -> str:
    (message,) = wrong(folder, *lines, place=place)
    return message


def sink_of(folder: Path, text: str, **env: str) -> RedshiftSink:
    sink = loaded(folder, text, {**ENV, **env}).sinks["warehouse"].redshift
    assert isinstance(sink, RedshiftSink)
    return sink


def test_a_small_sink_gets_its_defaults(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, table(SECRET, TABLE, COLUMNS))
    assert sink == RedshiftSink(
        endpoint=HOST,
        secret="s",  # noqa: S106 - the name of one
        bucket="data-bucket",
        prefix="p/staging/warehouse",
        table="flights",
        columns={"origin": "char(3)"},
    )
    assert (sink.auth, sink.tls, sink.mode, sink.unknown, sink.changes) == ("secret", "on", "append", "ignore", "apply")
    assert (sink.compression, sink.max_partitions, sink.partition) == ("gzip", 200, [PartitionPart(time="day")])
    assert (sink.distribution, sink.sort) == (TableDistribution(style="auto"), [])
    assert sink.load == LoadRules(through="connection", style="merge", objects=500)


def test_every_field_is_read(tmp_path: Path) -> None:
    text = table(
        "optional: true",
        "auth: iam",
        "secret: s",
        "cluster: big",
        "username: loader",
        "region: eu-west-1",
        f"copy_role: {ROLE}",
        "tls: off",
        "bucket_region: us-east-1",
        "prefix: staged",
        "compression: zstd",
        "level: 3",
        "partition: [{field: origin}]",
        "max_partitions: 7",
        "table: analytics.flights",
        "mode: upsert",
        "key: [id]",
        "version: seen",
        "columns:",
        "  id: {type: bigint, null: false}",
        "  seen: {type: timestamptz, null: false, from: meta.at}",
        "  rest: super",
        "unknown: rest",
        "distribution: {style: key, column: id}",
        "sort: [seen, id]",
        "changes: check",
        "load: {through: data_api, style: delete_insert, objects: 10}",
        place="localhost:5440/dev",
    )
    assert sink_of(tmp_path, text) == RedshiftSink(
        endpoint="localhost:5440/dev",
        optional=True,
        auth="iam",
        secret="s",  # noqa: S106 - the name of one
        cluster="big",
        username="loader",
        region="eu-west-1",
        copy_role=ROLE,
        tls="off",
        bucket="data-bucket",
        bucket_region="us-east-1",
        prefix="staged",
        compression="zstd",
        level=3,
        partition=[PartitionPart(field="origin")],
        max_partitions=7,
        table="analytics.flights",
        mode="upsert",
        key=["id"],
        version="seen",
        columns={
            "id": TableColumn(type="bigint", null=False),
            "seen": TableColumn(type="timestamptz", null=False, from_="meta.at"),
            "rest": "super",
        },
        unknown="rest",
        distribution=TableDistribution(style="key", column="id"),
        sort=["seen", "id"],
        changes="check",
        load=LoadRules(through="data_api", style="delete_insert", objects=10),
    )


def test_a_type_is_short_for_a_column() -> None:
    column = TableColumn(type="char(3)", null=False, from_="a.b")
    assert (full_column("char(3)"), full_column(column)) == (TableColumn(type="char(3)"), column)


# -- Where the warehouse is, and how it is entered ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("host/dev", Endpoint("host", 5439, "dev")),
        (
            "group.123456789012.eu-west-1.redshift-serverless.amazonaws.com:5439/dev",
            Endpoint("group.123456789012.eu-west-1.redshift-serverless.amazonaws.com", 5439, "dev"),
        ),
        ("127.0.0.1:49152/dev", Endpoint("127.0.0.1", 49152, "dev")),
        ("[::1]:5440/dev", Endpoint("::1", 5440, "dev")),
        ("LocalHost/my_db", Endpoint("localhost", 5439, "my_db")),
    ],
)
def test_an_endpoint_is_a_host_and_a_database(text: str, place: Endpoint) -> None:
    assert endpoint(text) == place


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("host:5439", "'host:5439' names no database; write host:5439/<database>"),
        ("host/", "'host/' names no database; write host/<database>"),
        (
            "jdbc:redshift://host:5439/dev",
            "'jdbc:redshift://host:5439/dev': leave out 'jdbc:redshift://'; write host:5439/dev",
        ),
        ("host:70000/dev", "'host:70000/dev': a port is 1 to 65535"),
        ("host/a/b", "'host/a/b' is no endpoint; write host/database or host:port/database"),
        ("ho st/dev", "'ho st/dev' is no endpoint; write host/database or host:port/database"),
        (
            "u:hidden@host/dev",
            "holds a user name or password; give them with `secret`, or with `username` and `password`",
        ),
    ],
)
def test_other_endpoints_are_refused(tmp_path: Path, place: str, message: str) -> None:
    assert one(tmp_path, SECRET, place=place) == f"5:17 ~.endpoint: {message}"


def test_an_empty_endpoint_is_a_mistake_of_a_sink_that_is_not_optional(tmp_path: Path) -> None:
    assert one(tmp_path, SECRET, place="${WAREHOUSE:-}") == (
        "5:17 ~.endpoint: is empty; give host/database, or `optional: true`, which switches the sink off then"
    )


OPTIONAL = table("optional: true", TABLE, COLUMNS, place="${WAREHOUSE:-}")


def test_an_optional_sink_without_an_endpoint_is_switched_off(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, OPTIONAL)
    assert (pipeline.switched_off, pipeline.sinks["warehouse"].is_off) == (["warehouse"], True)
    assert pipeline.sinks["warehouse"].is_optional


@pytest.mark.parametrize("place", ["''", "'  '", "null"])
def test_an_endpoint_of_nothing_is_empty(tmp_path: Path, place: str) -> None:
    assert sink_of(tmp_path, table("optional: true", TABLE, COLUMNS, place=place)).is_off


def test_the_credentials_of_a_sink_matter_once_it_is_on(tmp_path: Path) -> None:
    assert said(tmp_path, OPTIONAL, WAREHOUSE=HOST) == [
        "4:5 ~.auth: `auth: secret` needs `secret`, the name or ARN of a Secrets Manager secret"
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("auth: secret", "secret: ''"), "needs `secret`, the name or ARN of a Secrets Manager secret"),
        (("auth: password",), "lacks `username` and `password`"),
        (("auth: password", "username: u"), "lacks `password`"),
        (("auth: iam",), "needs `workgroup` (Redshift Serverless) or `cluster` (provisioned)"),
    ],
)
def test_each_way_in_needs_its_fields(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    assert one(tmp_path, *lines) == f"7:13 ~.auth: `{lines[0]}` {message}"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("workgroup: a", "cluster: b"), "8:7 ~.cluster: only one of `workgroup` and `cluster` may stand here"),
        (
            ("auth: iam", "workgroup: a", "username: u"),
            "9:7 ~.username: belongs to `cluster`; in a workgroup a role is its own user",
        ),
        (
            (API,),
            (
                "7:23 ~.load.through: `through: data_api` needs `workgroup` (Redshift Serverless) or `cluster`"
                " (provisioned)"
            ),
        ),
        (
            ("auth: password", "username: u", "password: ${AETHERSTREAM_BUCKET}", "cluster: c", API),
            "7:13 ~.auth: `through: data_api` takes no password; use `auth: secret` or `auth: iam`",
        ),
        (("copy_role: loader",), "7:18 ~.copy_role: 'loader' is no ARN of a role"),
        (
            ("tls: off",),
            "7:12 ~.tls: `off` would send everything to host.example.org unencrypted; it is for this machine only",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    assert one(tmp_path, *lines) == message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "'[::1]'"])
def test_a_server_on_this_machine_needs_no_encryption(tmp_path: Path, host: str) -> None:
    place = f"'{host.strip(chr(39))}:5439/dev'"
    assert sink_of(tmp_path, table("tls: off", SECRET, TABLE, COLUMNS, place=place)).tls == "off"


def test_roles_may_be_a_chain(tmp_path: Path) -> None:
    assert sink_of(tmp_path, table(f"copy_role: '{ROLE},{ROLE}2'", SECRET, TABLE, COLUMNS)).copy_role == (
        f"{ROLE},{ROLE}2"
    )


def test_a_password_never_stands_in_the_file_and_a_secret_is_only_named(tmp_path: Path) -> None:
    assert one(tmp_path, "auth: password", "username: u", "password: hunter2") == (
        "9:17 ~.password: is a secret in the file; write ${NAME} and set NAME in the function's environment"
    )


def test_the_file_that_a_version_is_made_of_has_no_password(tmp_path: Path) -> None:
    text = table("auth: password", "username: u", "password: ${PW}", TABLE, COLUMNS)
    first, second = (loaded(tmp_path, text, {**ENV, "PW": word}) for word in ("sesame", "mustard"))
    assert first.file == second.file
    assert sink_of(tmp_path, text, PW="sesame").password == "sesame"  # noqa: S105


# -- The table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("{a: text9}", "7:20 ~.columns.a: 'text9' is no column type; there are"),
        ("{a: {type: varchar(70000)}}", "7:27 ~.columns.a.type: varchar: Redshift takes 1 to 65535 bytes, not 70000"),
        ("{a: {null: false}}", "7:17 ~.columns.a: 'type' is missing: As Redshift has it:"),
        ("{a: {type: int, nul: false}}", "7:32 ~.columns.a.nul: unknown key (did you mean 'null'?)"),
        ("{a: 3}", "7:20 ~.columns.a: expected text or a mapping, got the number 3"),
        ("{Abc: int}", "7:17 ~.columns.Abc: 'Abc': Redshift folds names to lower case; write 'abc'"),
        ("{_event_id: int}", "7:17 ~.columns._event_id: _event_id is AetherStream's own; give the column another name"),
        ("{oid: int}", "7:17 ~.columns.oid: oid is a system column; give the column another name, and the field with"),
        ("{aether_rank: int}", "7:17 ~.columns.aether_rank: a load uses the name aether_rank; give the column another"),
        ("{a: {type: int, from: a..b}}", "7:38 ~.columns.a.from: 'a..b' has an empty part between its dots"),
        ("{}", "7:7 ~.columns: needs at least one column"),
    ],
)
def test_a_column_is_one_that_redshift_takes(tmp_path: Path, columns: str, message: str) -> None:
    assert one(tmp_path, f"columns: {columns}").startswith(message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Flights", "'Flights': Redshift folds names to lower case; write 'flights'"),
        ("a.b.c", "'b.c' is no name: up to 127 of a-z, 0-9 and _, the first no digit"),
        ("1a.b", "'1a' is no name: up to 127 of a-z, 0-9 and _, the first no digit"),
        ("aetherstream_loads", "'aetherstream_loads' is a table of AetherStream's own; give this one another name"),
    ],
)
def test_a_table_has_a_name_that_redshift_takes(tmp_path: Path, name: str, message: str) -> None:
    assert one(tmp_path, f"table: {name}") == f"7:14 ~.table: {message}"


KEYED = "columns: {id: {type: int, null: false}, at: {type: timestamptz, null: false}, x: super, y: int}"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("key: [id]",), "8:7 ~.key: belongs to `mode: upsert`; `append` tells rows apart by their event ids"),
        (("mode: upsert", "version: at"), "4:5 ~.key: `mode: upsert` needs the columns that tell rows apart"),
        (("mode: upsert", "key: [id]"), "4:5 ~.version: `mode: upsert` needs the column whose greatest value wins"),
        (("mode: upsert", "version: at", "key: [nope]"), "10:7 ~.key: there is no column 'nope'"),
        (("mode: upsert", "version: at", "key: [x]"), "10:7 ~.key: x is super, which can't be a key"),
        (
            ("mode: upsert", "key: [id]", "version: y"),
            "10:16 ~.version: y may be null, which equals nothing: give the column `null: false`",
        ),
        (("unknown: rest",), "8:16 ~.unknown: 'rest' is neither ignore, reject nor the name of a column"),
        (("unknown: y",), "8:16 ~.unknown: only a super column can collect fields; y is integer"),
        (("sort: [gone]",), "8:7 ~.sort: there is no column 'gone'"),
        (("distribution: {style: key}",), "8:7 ~.distribution: `style: key` needs `column`"),
        (
            ("distribution: {style: even, column: id}",),
            "8:43 ~.distribution.column: belongs to `style: key`, not to `even`",
        ),
        (
            ("distribution: {style: key, column: x}",),
            "8:42 ~.distribution.column: x is super, which Redshift takes neither as distribution nor as sort key",
        ),
        (("partition: [{time: hour}]",), "8:7 ~.partition: `time: hour` is only the hour of the day;"),
        (("level: 9",), "8:14 ~.level: gzip has the levels 0 to 3, not 9"),
        (("load: {objects: 0}",), "8:23 ~.load.objects: 0 is less than the minimum of 1"),
    ],
)
def test_what_is_said_of_columns_fits_them(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    assert one(tmp_path, KEYED, *lines).startswith(message)


def test_every_mistake_is_named_at_once_and_none_that_only_follows(tmp_path: Path) -> None:
    text = table(
        "auth: ia",
        "tabel: flights",
        "mode: upsrt",
        "key: [a, b]",
        "columns: {a: {typ: int}, b: tinyint, C: int}",
        "sort: [a]",
        "unknown: b",
    )
    assert [message[:90] for message in said(tmp_path, text)] == [
        "4:5 ~: 'table' is missing: `table` or `schema.table`; without a schema it is `public`. No ",
        "7:13 ~.auth: 'ia' is not one of iam, password, secret (did you mean 'iam'?)",
        "8:7 ~.tabel: unknown key (did you mean 'table'?)",
        "9:13 ~.mode: 'upsrt' is not one of append, upsert (did you mean 'upsert'?)",
        "11:17 ~.columns.a: 'type' is missing: As Redshift has it: smallint, integer, bigint, decim",
        "11:21 ~.columns.a.typ: unknown key (did you mean 'type'?)",
        "11:35 ~.columns.b: 'tinyint' is no column type; there are bigint, boolean, char, date, dec",
        "11:44 ~.columns.C: 'C': Redshift folds names to lower case; write 'c'",
    ]


def test_columns_may_have_the_names_of_secrets(tmp_path: Path) -> None:
    columns = {"token": "varchar(10)", "password": TableColumn(type="super")}
    text = table(SECRET, TABLE, "columns: {token: varchar(10), password: {type: super}}")
    assert sink_of(tmp_path, text).columns == columns


# -- Beside other sinks ------------------------------------------------------------------------------------------------


def two(first: str, second: str) -> str:
    rest = "bucket: data-bucket, secret: s, columns: {a: int}"
    sinks = "".join(f"  {name}: {{redshift: {{{body}, {rest}}}}}\n" for name, body in (("a", first), ("b", second)))
    return f"pipeline: p\nsinks:\n{sinks}"


def test_two_sinks_never_load_into_one_table(tmp_path: Path) -> None:
    text = two("endpoint: h/dev, table: public.x", "endpoint: 'h:5439/dev', table: x")
    assert said(tmp_path, text) == [
        "4:49 sinks.b.redshift.table: sinks.a loads into 'x' of this warehouse too; give each a table of its own"
    ]


def test_two_databases_may_have_tables_of_one_name(tmp_path: Path) -> None:
    text = two("endpoint: h/dev, table: x", "endpoint: h/prod, table: x")
    assert list(loaded(tmp_path, text).sinks) == ["a", "b"]


@pytest.mark.parametrize("prefix", ["staged", "staged/more", "staged.manifests"])
def test_staged_objects_and_their_manifests_have_a_prefix_of_their_own(tmp_path: Path, prefix: str) -> None:
    text = (
        table(SECRET, TABLE, COLUMNS, "prefix: staged") + f"  cold: {{s3: {{bucket: data-bucket, prefix: {prefix}}}}}\n"
    )
    ((_, path, _),) = mistakes(tmp_path, text)
    assert path == "sinks.cold.s3.prefix"


def test_an_archive_may_stand_beside_what_is_staged(tmp_path: Path) -> None:
    text = table(SECRET, TABLE, COLUMNS) + "  cold: {s3: {bucket: data-bucket}}\n"
    assert list(loaded(tmp_path, text).sinks) == ["warehouse", "cold"]


STACK = {"AETHERSTREAM_REDSHIFT_STAGING": "p/staging/"}


def test_objects_that_the_stack_announces_are_fine(tmp_path: Path) -> None:
    assert sink_of(tmp_path, table(SECRET, TABLE, COLUMNS), **STACK).prefix == "p/staging/warehouse"


def test_objects_that_nobody_announces_are_refused(tmp_path: Path) -> None:
    text = table(SECRET, TABLE, COLUMNS, "prefix: p/stagings", bucket="other-bucket")
    assert said(tmp_path, text, **STACK) == [
        "6:15 ~.bucket: the loader only hears of objects in 'data-bucket', the stack's own bucket",
        (
            "10:15 ~.prefix: 'p/stagings' is not below 'p/staging/', and the loader only hears of objects there: change"
            " one of them (the template's parameter is RedshiftStagingPrefix)"
        ),
    ]


def test_a_sink_that_is_off_may_stage_anywhere(tmp_path: Path) -> None:
    text = table("optional: true", TABLE, COLUMNS, "prefix: elsewhere", place="''")
    assert sink_of(tmp_path, text, **STACK).is_off


# -- Config tests ------------------------------------------------------------------------------------------------------


def differences(folder: Path, expect: dict[str, Any], **env: str) -> list[str]:
    """What a case finds whose second event has a value that the table does not take."""
    variables = {**ENV, **env}
    pipeline = loaded(folder, OPTIONAL.replace("optional: true", "optional: true\n      secret: s"), variables)
    case = Case(name="c", input=[{"origin": "JFK"}, {"origin": "Kennedy"}], expect=expect)
    (result,) = run_cases(pipeline, [case], core_runner(pipeline, variables))
    return result.differences


def test_a_config_test_sees_the_events_of_a_table_and_what_it_refuses(tmp_path: Path) -> None:
    refused = {"stage": "partition", "where": "sinks.warehouse", "reason": "column origin is longer than 3 bytes"}
    expect = {"warehouse": [{"origin": "JFK"}], "rejected": [refused]}
    assert differences(tmp_path, expect, WAREHOUSE=HOST) == []


def test_a_config_test_does_not_hang_on_whether_an_optional_table_is_on(tmp_path: Path) -> None:
    assert differences(tmp_path, {}) == []
