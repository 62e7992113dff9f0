"""What the embedded server is given before the first client: Redshift's system tables, views and functions.

They stand in pg_catalog, as on Redshift, so that a client's search_path does not matter. What a COPY met is kept in
tables that are written from outside the client's transaction and so outlive its rollback.
"""

from __future__ import annotations

from collections.abc import Sequence

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.load import BadRow, Loaded
from aetherstream.local.redshift.wire import literal

SETUP = r"""
SET allow_system_table_mods = on;
CREATE SCHEMA redshift_system;
GRANT USAGE ON SCHEMA redshift_system TO PUBLIC;
CREATE SEQUENCE redshift_system.query_id MINVALUE 0 START 1000;
CREATE SEQUENCE redshift_system.last_copy_id MINVALUE 0;
CREATE SEQUENCE redshift_system.last_copy_count MINVALUE 0;
GRANT ALL ON ALL SEQUENCES IN SCHEMA redshift_system TO PUBLIC;

CREATE TABLE redshift_system.attributes (relation oid PRIMARY KEY, attributes jsonb NOT NULL);
GRANT SELECT ON redshift_system.attributes TO PUBLIC;

CREATE FUNCTION redshift_system.keep_attributes() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$
DECLARE
  given jsonb := substring(current_query() FROM E'/\\*redshift:(.*?)\\*/')::jsonb;
  made record;
BEGIN
  FOR made IN SELECT objid FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table' LOOP
    IF given ? 'like' THEN
      SELECT a.attributes INTO given FROM redshift_system.attributes a
        WHERE a.relation = to_regclass(given->>'like')::oid;
    END IF;
    IF given <> '{}' THEN
      INSERT INTO redshift_system.attributes VALUES (made.objid, given)
        ON CONFLICT (relation) DO UPDATE SET attributes = excluded.attributes;
    END IF;
  END LOOP;
END $body$;
CREATE TABLE redshift_system.load_errors (
  userid integer, slice integer, tbl integer, starttime timestamp, session integer, query integer,
  filename character(256), line_number bigint, colname character(127), type character(10), col_length character(10),
  "position" integer, raw_line character(1024), raw_field_value character(1024), err_code integer,
  err_reason character(100), is_partial integer, start_offset bigint, copy_job_id bigint, error_message character(512));
CREATE TABLE redshift_system.load_history (
  user_id integer, query_id bigint, transaction_id bigint, session_id integer, database_name text, status text,
  table_name text, start_time timestamp, end_time timestamp, duration bigint, data_source text, file_format text,
  loaded_rows bigint, loaded_bytes bigint, source_file_count integer, source_file_bytes bigint,
  file_count_scanned integer, file_bytes_scanned bigint, error_count bigint, copy_job_id bigint);
CREATE TABLE redshift_system.load_commits (
  userid integer, query integer, slice integer, name character(256), filename character(256), byte_offset integer,
  lines_scanned integer, errors integer, curtime timestamp, status integer, file_format character(16),
  is_partial integer, start_offset bigint, copy_job_id bigint);
GRANT SELECT ON ALL TABLES IN SCHEMA redshift_system TO PUBLIC;

CREATE VIEW pg_catalog.stl_load_errors AS SELECT userid, slice, tbl, starttime, session, query, filename, line_number,
  colname, type, col_length, "position", raw_line, raw_field_value, err_code, err_reason, is_partial, start_offset,
  copy_job_id FROM redshift_system.load_errors;
CREATE VIEW pg_catalog.sys_load_error_detail AS SELECT userid AS user_id, query::bigint AS query_id,
  0::bigint AS transaction_id, session AS session_id, current_database()::character(64) AS database_name,
  tbl AS table_id, starttime AS start_time, filename AS file_name, line_number, colname AS column_name,
  type AS column_type, col_length AS column_length, "position", err_code AS error_code, error_message
  FROM redshift_system.load_errors;
CREATE VIEW pg_catalog.sys_load_history AS SELECT * FROM redshift_system.load_history;
CREATE VIEW pg_catalog.stl_load_commits AS SELECT * FROM redshift_system.load_commits;

CREATE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql STABLE AS
  $$SELECT date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC')$$;
CREATE FUNCTION pg_catalog.sysdate() RETURNS timestamp LANGUAGE sql STABLE AS
  $$SELECT transaction_timestamp() AT TIME ZONE 'UTC'$$;
CREATE FUNCTION pg_catalog.json_parse(text) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1::jsonb';
CREATE FUNCTION pg_catalog.super_text(jsonb) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1::text';
CREATE FUNCTION pg_catalog.pg_last_copy_id() RETURNS integer LANGUAGE plpgsql AS $body$
BEGIN
  RETURN currval('redshift_system.last_copy_id');
EXCEPTION WHEN object_not_in_prerequisite_state THEN RETURN -1;
END $body$;
CREATE FUNCTION pg_catalog.pg_last_copy_count() RETURNS bigint LANGUAGE plpgsql AS $body$
BEGIN
  RETURN currval('redshift_system.last_copy_count');
EXCEPTION WHEN object_not_in_prerequisite_state THEN RETURN 0;
END $body$;

CREATE VIEW redshift_system.columns AS
  SELECT c.oid, n.nspname, c.relname, c.relkind, a.attname, a.attnum, a.attnotnull, a.attidentity,
    CASE WHEN a.atttypid = 'jsonb'::regtype THEN 'super' ELSE format_type(a.atttypid, a.atttypmod) END AS type,
    a.atttypid, a.atttypmod, pg_get_expr(d.adbin, d.adrelid) AS column_default,
    coalesce(t.attributes->'encodings'->>a.attname::text, 'none') AS encoding,
    coalesce(t.attributes->>'distkey' = a.attname, false) AS distkey,
    coalesce((SELECT k.at FROM jsonb_array_elements_text(t.attributes->'sortkeys') WITH ORDINALITY AS k(name, at)
      WHERE k.name = a.attname), 0)::integer AS sortkey
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    LEFT JOIN redshift_system.attributes t ON t.relation = c.oid
  WHERE c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped
    AND n.nspname NOT IN ('redshift_system', 'information_schema', 'pg_toast')
    AND (n.nspname <> 'pg_catalog');
GRANT SELECT ON redshift_system.columns TO PUBLIC;
CREATE VIEW pg_catalog.pg_table_def AS SELECT nspname AS schemaname, relname AS tablename, attname AS "column", type,
  encoding, distkey, sortkey, attnotnull AS "notnull" FROM redshift_system.columns
  WHERE relkind = 'r' AND pg_table_is_visible(oid);
CREATE VIEW pg_catalog.svv_redshift_columns AS SELECT current_database()::varchar(128) AS database_name,
  nspname::varchar(128) AS schema_name, relname::varchar(128) AS table_name, attname::varchar(128) AS column_name,
  attnum::integer AS ordinal_position, type::varchar(128) AS data_type, column_default::varchar(4000),
  CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END::varchar(3) AS is_nullable, encoding::varchar(128), distkey, sortkey,
  ''::varchar(128) AS column_acl, NULL::varchar(256) AS remarks FROM redshift_system.columns;
CREATE VIEW pg_catalog.svv_columns AS SELECT current_database()::text AS table_catalog, nspname::text AS table_schema,
  relname::text AS table_name, attname::text AS column_name, attnum::integer AS ordinal_position, column_default,
  CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable,
  regexp_replace(type, E'\\([^)]*\\)', '') AS data_type,
  CASE WHEN type LIKE 'character%' THEN atttypmod - 4 END AS character_maximum_length,
  CASE WHEN type LIKE 'numeric%' THEN (atttypmod - 4) >> 16 END AS numeric_precision,
  CASE WHEN type LIKE 'numeric%' THEN (atttypmod - 4) & 2047 END AS numeric_scale, NULL::text AS remarks
  FROM redshift_system.columns;
CREATE VIEW pg_catalog.svv_table_info AS SELECT current_database()::text AS database, n.nspname::text AS schema,
  c.oid AS table_id, c.relname::text AS "table", 'N'::text AS encoded,
  CASE t.attributes->>'diststyle' WHEN 'key' THEN 'KEY(' || (t.attributes->>'distkey') || ')' WHEN 'even' THEN 'EVEN'
    WHEN 'all' THEN 'ALL' ELSE 'AUTO(ALL)' END AS diststyle,
  coalesce(t.attributes->'sortkeys'->>0, 'AUTO(SORTKEY)') AS sortkey1,
  coalesce(jsonb_array_length(t.attributes->'sortkeys'), 0) AS sortkey_num,
  pg_total_relation_size(c.oid) / 1048576 AS size
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN redshift_system.attributes t ON t.relation = c.oid
  WHERE c.relkind = 'r' AND n.nspname NOT IN ('redshift_system', 'information_schema', 'pg_catalog', 'pg_toast')
    AND pg_relation_size(c.oid) > 0;  -- AWS: empty tables are not shown
GRANT SELECT ON pg_catalog.stl_load_errors, pg_catalog.sys_load_error_detail, pg_catalog.sys_load_history,
  pg_catalog.stl_load_commits, pg_catalog.pg_table_def, pg_catalog.svv_redshift_columns, pg_catalog.svv_columns,
  pg_catalog.svv_table_info TO PUBLIC;

CREATE EVENT TRIGGER keep_attributes ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS')
  EXECUTE FUNCTION redshift_system.keep_attributes();
"""


def columns_query(table: str) -> str:
    """Of each column its name, type, whether required, defaulted, made by the server; and the table's id."""
    facts = "attname, format_type(atttypid, atttypmod), attnotnull, atthasdef, attidentity <> '', attrelid"
    chosen = f"attrelid = {literal(table)}::regclass AND attnum > 0 AND NOT attisdropped"
    return f"SELECT {facts} FROM pg_catalog.pg_attribute WHERE {chosen} ORDER BY attnum"  # noqa: S608 (a literal)


def begin_copy() -> str:
    """Number a COPY: its id is told by pg_last_copy_id() of this session from now on, its rows are none yet.

    Sequences are used because neither a rollback nor another session changes what a session reads of them.
    """
    return (
        "SELECT setval('redshift_system.last_copy_id', nextval('redshift_system.query_id')), "
        "setval('redshift_system.last_copy_count', 0)"
    )


def end_copy(rows: int) -> str:
    """Tell pg_last_copy_count() how many rows came."""
    return f"SELECT setval('redshift_system.last_copy_count', {rows})"


def record_error(query: int, session: int, table: int, bad: BadRow) -> str:
    """What stl_load_errors and sys_load_error_detail say of a row."""
    column = bad.column
    values = [
        *("0", "0", str(table), "clock_timestamp() AT TIME ZONE 'UTC'", str(session), str(query)),
        _cut(bad.file, 256),
        str(bad.line),
        _cut(column.name if column else "", 127),
        _cut(_short_type(column.kind) if column else "", 10),
        _cut(",".join(map(str, column.sizes)) if column else "", 10),
        "0",
        _cut(bad.raw, 1024),
        _cut(bad.why.raw, 1024),
        str(bad.why.code),
        _cut(bad.why.reason, 100),
        *("0", "0", "-1"),
        _cut(bad.why.reason, 512),
    ]
    return f"INSERT INTO redshift_system.load_errors VALUES ({', '.join(values)})"  # noqa: S608 (literals)


def record_load(query: int, session: int, copy: Copy, loaded: Loaded, status: str) -> str:
    """What sys_load_history and, of a COPY that came to its end, stl_load_commits say."""
    now = "clock_timestamp() AT TIME ZONE 'UTC'"
    done = status == "completed"
    errors = "0" if done else "1"
    rows, size, count = loaded.rows if done else 0, loaded.bytes, len(loaded.files)
    table = copy.table.replace('"', "")
    form = "Parquet" if copy.parquet else "JSON"
    history: Sequence[str] = [
        *("0", str(query), "0", str(session), "current_database()", literal(status), literal(table), now, now, "0"),
        *(
            literal(copy.source),
            literal(form.lower()),
            str(rows),
            str(size if done else 0),
            str(count),
            str(size),
            str(count),
        ),
        *(str(size), errors, "-1"),
    ]
    statements = [f"INSERT INTO redshift_system.load_history VALUES ({', '.join(history)})"]  # noqa: S608 (literals)
    if done and loaded.files:
        commits = ", ".join(
            f"(0, {query}, 0, {_cut(file, 256)}, {_cut(file, 256)}, 0, {lines}, 0, {now}, 1, '{form}', 0, 0, -1)"
            for file, lines, _ in loaded.files
        )
        statements.append(f"INSERT INTO redshift_system.load_commits VALUES {commits}")  # noqa: S608 (literals)
    return "; ".join(statements)


def _cut(value: str, length: int) -> str:
    return literal(value.replace("\0", "")[:length])


def _short_type(kind: str) -> str:
    return {"character varying": "varchar", "character": "char", "integer": "int4", "bigint": "int8"}.get(kind, kind)
