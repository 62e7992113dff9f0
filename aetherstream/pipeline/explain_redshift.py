"""A Redshift sink in words, and what is doubtful about one."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UnsetType

from aetherstream.pipeline.model_redshift import RedshiftSink, full_column

_ENTRY = {
    "secret": "as the user of a secret",
    "iam": "with the loader's role",
    "password": "as a user with a password",
}
_WIDTH = 100
_REPLACED = {"merge": "MERGE", "delete_insert": "DELETE and INSERT"}


def in_words(sink: RedshiftSink, staged: Iterator[str]) -> Iterator[str]:
    """Yield what a sink does; `staged` says of its objects where they are and what they hold."""
    if sink.is_off:
        yield "switched off: its endpoint is empty; with one:"
    yield f"table {sink.table}; its rows are staged as"
    yield from staged
    yield from _columns(sink)
    yield f"quarantined: {_refused(sink)}"
    if sink.unknown != "reject":
        yield f"fields without a column: {'left out' if sink.unknown == 'ignore' else f'collected in {sink.unknown}'}"
    where = "" if sink.is_off else f" into {sink.endpoint}, {_ENTRY[sink.auth]}"
    through = " through the Data API" if sink.load.through == "data_api" else ""
    yield f"loaded{where}{through}: COPY of up to {sink.load.objects:,} objects in one transaction"
    yield _kept(sink)
    yield _layout(sink)


def _columns(sink: RedshiftSink) -> Iterator[str]:
    line, indent = f"{_count(len(sink.columns), 'column')} and _event_id:", ""
    for index, (name, written) in enumerate(sink.columns.items()):
        column = full_column(written)
        text = f"{name} {column.type}{'' if column.null else ' not null'}"
        if column.source not in ("", name):
            text += f" from {column.source}"
        text += "," if index < len(sink.columns) - 1 else ""
        if len(line) + len(text) >= _WIDTH:
            yield line
            line, indent = "", "  "
        line = f"{line} {text}" if line else f"{indent}{text}"
    yield line


def _refused(sink: RedshiftSink) -> str:
    causes = ["values that their columns would not take"]
    if not all(full_column(column).null for column in sink.columns.values()):
        causes.append("null where it may not be")
    if sink.unknown == "reject":
        causes.append("fields without a column")
    return f"events with {' or '.join(causes)}"


def _kept(sink: RedshiftSink) -> str:
    if sink.mode == "append":
        return "append: one row an event id, however often it comes"
    key = "" if isinstance(sink.key, UnsetType) else ", ".join(sink.key)
    return f"upsert: one row a {key}; the greatest {sink.version} wins, by {_REPLACED[sink.load.style]}"


def _layout(sink: RedshiftSink) -> str:
    spread = sink.distribution
    style = f"by {spread.column}" if spread.style == "key" else spread.style
    order = f"sorted by {', '.join(sink.sort)}" if sink.sort else "no sort key"
    lacks = "makes" if sink.changes == "apply" else "waits for"
    return f"table: distribution {style}, {order}; the loader {lacks} what it lacks of this"


def warnings(name: str, sink: RedshiftSink, *, identified: bool) -> Iterator[str]:
    """Yield what is allowed of a sink and probably not meant; `identified`: the pipeline names an `identity`."""
    if identified and sink.mode == "append":
        yield (
            f"sinks.{name} appends by the position in the stream: an event that a producer sends twice makes two rows;"
            " `mode: upsert` with the columns of the identity as `key` keeps one"
        )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
