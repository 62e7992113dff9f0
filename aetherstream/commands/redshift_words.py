"""What `aetherstream redshift` is answered, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aetherstream.commands.words import count

Told = Mapping[str, Any]


def queue(counts: Told) -> Iterator[str]:
    """What waits to be loaded."""
    if "trouble" in counts:
        yield f"TROUBLE  {counts['trouble']}"
        return
    parts = [(counts["waiting"], "waiting"), (counts["taken"], "taken or held back"), (counts["delayed"], "delayed")]
    told = ", ".join(f"{number:,} {words}" for number, words in parts if number)
    yield f"queue: {told or 'empty'}"
    if counts.get("dead"):
        yield f"DEAD LETTERS  {count(counts['dead'], 'message')} that the loader could make nothing of, or gave up"


def shown(told: Told) -> Iterator[str]:
    """How the loads of a sink and its table stand."""
    yield _head(told)
    yield f"  {told['mode']}, from {told['staging']}, through {_THROUGH[told['through']]}"
    if "loaded" in told:
        latest = f", the latest at {told['last']}" if told["last"] else ""
        yield f"  loaded: {count(told['loaded'], 'object')} with {count(told['rows'], 'row')}{latest}"
        if told["set_aside"]:
            yield f"  SET ASIDE  {count(told['set_aside'], 'object')}: `aetherstream redshift failures` says why"
    if "changes" in told:
        yield from _differences(told, sql=False)
    yield from _trouble(told)


def planned(told: Told, *, sql: bool) -> Iterator[str]:
    """What a table lacks of its contract."""
    yield _head(told)
    yield from _trouble(told)
    if "trouble" in told:
        return
    yield from _differences(told, sql=sql)
    if told["changes"] and not told["refusals"]:
        yield "  Nothing was changed. `aetherstream redshift apply` does it."


def applied(told: Told, *, sql: bool) -> Iterator[str]:
    """What was done about that."""
    yield _head(told)
    if told["refusals"]:
        yield from _differences(told, sql=sql)
    else:
        statements = {change["text"]: change["statement"] for change in told["changes"]} if sql else {}
        for text in told["done"]:
            yield f"  done: {text}"
            if text in statements:
                yield f"    {statements[text]};"
        if not told["changes"] and "trouble" not in told:
            yield f"  {_AS_WANTED}"
        yield from (f"  note: {note}" for note in told["notes"])
    yield from _trouble(told)


def failed(told: Told) -> Iterator[str]:
    """What was set aside."""
    yield _head(told)
    for failure in told["failures"]:
        yield f"  {failure['at']}  s3://{failure['object']}"
        yield f"    {failure['error']}"
    number = len(told["failures"]) + told["more"]
    if told["more"]:
        yield f"  and {count(told['more'], 'object')} more"
    if number:
        yield f"  {count(number, 'object')} set aside. When the cause is mended: `aetherstream redshift retry`"
    elif "trouble" not in told:
        yield "  nothing is set aside"
    yield from _trouble(told)


def announced(told: Told) -> Iterator[str]:
    """What is tried again."""
    yield f"{told['sink']}: {count(told['announced'], 'object')} announced to the loader"
    yield from _trouble(told)


def filled(told: Told, *, dry_run: bool) -> Iterator[str]:
    """What is staged, and what of it the ledger did not know."""
    yield _head(told)
    parts = [(told["loaded"], "loaded"), (told["set_aside"], "set aside"), (told["missing"], "not in the ledger")]
    sums = " + ".join(f"{number:,} {words}" for number, words in parts if number) or "0"
    yield f"  {count(told['staged'], 'staged object')} = {sums}"
    if told["others"]:
        yield f"  passed over: {count(told['others'], 'object')} of another form or compression"
    if told["announced"]:
        yield f"  announced: {count(told['announced'], 'object')}"
    elif told["missing"] and dry_run:
        yield from (f"    s3://{name}" for name in told["names"])
        if told["missing"] > len(told["names"]):
            yield f"    and {told['missing'] - len(told['names']):,} more"
        yield "  Nothing was announced. Without --dry-run it is done."
    yield from _trouble(told)


_THROUGH = {"connection": "a connection", "data_api": "the Data API"}
_AS_WANTED = "the table is as its contract wants it"


def _head(told: Told) -> str:
    return f"{told['sink']}: {told['table']}, at {told['warehouse']}"


def _differences(told: Told, *, sql: bool) -> Iterator[str]:
    for change in told["changes"]:
        yield f"  lacks: {change['text']}"
        if sql:
            yield f"    {change['statement']};"
    for refusal in told["refusals"]:
        yield f"  REFUSED  {refusal['column']}: {refusal['reason']}"
        yield f"    {refusal['way_out']}"
    yield from (f"  note: {note}" for note in told["notes"])
    if told["refusals"]:
        yield "  Nothing is done to the table, and nothing loads into it, until that is settled."
    elif not told["changes"]:
        yield f"  {_AS_WANTED}"


def _trouble(told: Told) -> Iterator[str]:
    if "trouble" in told:
        yield f"  TROUBLE  {told['trouble']}"
