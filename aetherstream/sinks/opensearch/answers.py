"""What each item of a bulk answer means. Pure.

The table is OpenSearch's (`ExceptionsHelper`, `MapperParsingException`, `ClusterBlockException`, and what a 3.8 server
was seen to answer). Reasons are the same for equal causes and hold no values: they group the quarantine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from aetherstream.errors import CONFIGURATION

TOO_LARGE = "document is too large"

Fate = Literal["done", "retry", "failing", "stuck", "rejected", "configuration", "refused", "split"]
"""done; may work at once; the same, unless few go on failing so; may work when somebody acts; never, for the document's
sake; never, as its index is; nothing will work, as the cluster is; (of a request) may work in smaller parts."""


class Unreadable(Exception):
    """An answer that is cut off, is not what a bulk request is answered with, or has another number of items."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one document."""

    fate: Fate
    reason: str = ""
    """Without values, the same for equal causes."""
    message: str = ""
    """OpenSearch's own words."""


DONE = Verdict("done")


class Cause(msgspec.Struct, frozen=True):
    """An error of OpenSearch."""

    type: str = ""
    reason: str | None = None
    caused_by: Cause | None = None


class Item(msgspec.Struct, frozen=True):
    """One item of an answer."""

    status: int
    error: Cause | str | None = None


class _Outline(msgspec.Struct, frozen=True):
    errors: bool
    items: list[msgspec.Raw]


class _Whole(msgspec.Struct, frozen=True):
    items: list[dict[str, Item]]


class _Failure(msgspec.Struct, frozen=True):
    error: Cause | str | None = None


_outline = msgspec.json.Decoder(_Outline).decode
_whole = msgspec.json.Decoder(_Whole).decode
_failure = msgspec.json.Decoder(_Failure).decode

# Error types of an item that nobody's document is the cause of, by what they touch.
_OF_THE_INDEX = frozenset({"index_closed_exception", "index_not_found_exception", "invalid_index_name_exception"})
_OF_THE_CLUSTER = (
    ("maximum shards open", "too many shards"),
    ("maximum normal shards open", "too many shards"),
    ("Document ID is not supported", "the collection takes no ids"),
)
_KNOWN_TEXTS = (
    ("Limit of total fields", "limit of total fields"),
    ("Limit of mapping depth", "limit of mapping depth"),
    ("Limit of nested", "limit of nested fields"),
    ("mapping set to strict", "field is not in the mapping"),
    ("op_type of create are allowed in data streams", "data streams take only create"),
)
_PRESSURE = re.compile(r"_operation_bytes=(\d+), max_\w+=(\d+)")
_FIELD = re.compile(r"(?:field|mapping for|object mapping for) \[([^\]]{1,200})\](?: of type \[([^\]]{1,60})\])?")


def read(text: str | bytes, count: int) -> dict[int, Verdict]:
    """Read the answer to a request of `count` documents; returns, by index, every document that is not done.

    Raises Unreadable.
    """
    try:
        outline = _outline(text)
        if len(outline.items) != count:
            raise Unreadable(f"an answer with {len(outline.items)} items to a request of {count} documents")
        if not outline.errors:
            return {}
        verdicts = [judge(item) for found in _whole(text).items for item in found.values()]
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Unreadable(f"an answer that can't be read: {error}") from error
    if len(verdicts) != count:
        raise Unreadable(f"an answer with {len(verdicts)} results to a request of {count} documents")
    return {index: verdict for index, verdict in enumerate(verdicts) if verdict.fate != "done"}


def judge(item: Item) -> Verdict:
    """Say what became of the document of an item."""
    status, cause = item.status, _cause(item.error)
    # 409 to `create`: it stands there. To an external version: one that is not older does.
    # 404 without an error: what was to be removed is not there.
    if 200 <= status < 300 or status == 409 or (status == 404 and item.error is None):
        return DONE
    message = words(cause, status)
    if status == 429:
        # The flood-stage block answers 429 as well, and lasts until somebody frees a disk.
        return Verdict("stuck" if cause.type == "cluster_block_exception" else "retry", cause.type, message)
    if status in (401, 403):
        return Verdict("refused", CONFIGURATION + (cause.type or str(status)), message)
    if cause.type in _OF_THE_INDEX:
        return Verdict("configuration", CONFIGURATION + cause.type, message)
    for text, reason in _OF_THE_CLUSTER:
        if text in message:
            return Verdict("refused", CONFIGURATION + reason, message)
    if 400 <= status < 500:
        return Verdict("rejected", _reason(cause, status), message)
    # OpenSearch answers 500 to whatever it has no status for; some of that is the document's fault.
    return Verdict("failing" if status == 500 else "retry", cause.type or str(status), message)


def whole(text: str | bytes, status: int) -> Verdict:
    """Say what an answer other than 2xx means for the request as a whole."""
    try:
        cause = _cause(_failure(text).error)
    except (msgspec.DecodeError, UnicodeError):
        cause = Cause()
    message = words(cause, status)
    if status == 413 or (status == 429 and _never_fits(message)):
        return Verdict("split", TOO_LARGE, message)
    if status == 400 and cause.type:
        # One of its documents or actions can't be read; alone it shows which.
        return Verdict("split", _reason(cause, status), message)
    if status == 429 and cause.type == "cluster_block_exception":
        return Verdict("stuck", cause.type, message)
    if status in (408, 429) or status >= 500:
        return Verdict("retry", cause.type or str(status), message)
    return Verdict("refused", CONFIGURATION + (cause.type or str(status)), message)


def words(cause: Cause, status: int) -> str:
    """The error in OpenSearch's own words, with what caused it."""
    parts: list[str] = []
    found: Cause | None = cause
    while found is not None and len(parts) < 4:
        # Parsers' messages come in several lines.
        part = " ".join(": ".join(filter(None, (found.type, found.reason))).split())
        if part and part not in parts:
            parts.append(part)
        found = found.caused_by
    return f"OpenSearch answered {status}" + (": " + "; caused by ".join(parts) if parts else "")


def _cause(error: Cause | str | None) -> Cause:
    if isinstance(error, Cause):
        return error
    return Cause(reason=error)


def _reason(cause: Cause, status: int) -> str:
    kind, text = cause.type or str(status), cause.reason or ""
    for known, reason in _KNOWN_TEXTS:
        if known in text:
            return f"{kind}: {reason}"
    # The field and its type are the cause; the value, the id and the position stand in the message.
    if field := _FIELD.search(text):
        name, of_type = field.groups()
        return f"{kind}: field {name}" + (f" of type {of_type}" if of_type else "")
    return f"{kind}: {cause.caused_by.type}" if cause.caused_by and cause.caused_by.type else kind


def _never_fits(message: str) -> bool:
    """Whether a request alone is larger than the memory that the cluster has for indexing: no waiting helps."""
    found = _PRESSURE.search(message)
    return found is not None and int(found[1]) > int(found[2])
