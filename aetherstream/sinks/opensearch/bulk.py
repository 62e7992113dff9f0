"""Bodies of bulk requests, and what each item of an answer means. Pure.

`create` under the event's id makes a repeated request harmless: an item that stands already is answered with 409 and is
delivered. Bodies are put together from lines that are JSON already; nothing is parsed or written again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, repeat
from operator import contains

import orjson

from aetherstream.errors import Rejected
from aetherstream.sinks.opensearch.answers import TOO_LARGE

MAX_ID = 512
"""OpenSearch 2.9 and later: bytes of an id; a longer one makes it refuse the request as a whole."""

_AFTER_ID = b'"}}\n'
_MARK = "\x7f"


def sendable(document_id: str, body: bytes, largest: int) -> Rejected | None:
    """Say why a document can't be sent, or None. One such document would make OpenSearch refuse its whole request."""
    try:
        size = len(document_id.encode())
    except UnicodeEncodeError:
        return Rejected("id is not unicode text", f"the id {document_id!r:.80} is not unicode text")
    if not size:
        return Rejected("id is empty", "the id is empty: what `identity:` names has to have a value")
    if size > MAX_ID:
        return Rejected("id is too long", f"the id {document_id[:80]!r}… has {size} bytes, OpenSearch takes {MAX_ID}")
    if len(body) > largest:
        return Rejected(TOO_LARGE, f"the document has {len(body)} bytes, a request may have {largest}")
    return None


def unsendable(ids: Sequence[str], bodies: Sequence[bytes], largest: int) -> dict[int, Rejected]:
    """Say, by index, which documents can't be sent and why; `largest`: most bytes of one document."""
    # The usual ids are ASCII: a look at all of them at once is enough.
    if not ids or (
        "".join(ids).isascii()
        and all(ids)
        and len(max(ids, key=len)) <= MAX_ID
        and len(max(bodies, key=len)) <= largest
    ):
        return {}
    found = ((index, sendable(*pair, largest)) for index, pair in enumerate(zip(ids, bodies, strict=True)))
    return {index: why for index, why in found if why is not None}


def cut(ids: Sequence[str], bodies: Sequence[bytes], documents: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut a delivery into requests: `(start, end)`, each of at most `documents` and about `size` bytes.

    A document that is larger than `size` goes alone.
    """
    if not ids:
        return
    action = 48 + max(map(len, ids))
    ends = list(accumulate(len(body) + action for body in bodies))
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        end = min(start + documents, bisect_right(ends, before + size, start))
        end = max(end, start + 1)
        yield start, end
        start = end


def create_body(places: Sequence[str], ids: Sequence[str], bodies: Sequence[bytes]) -> bytes:
    """Make the body of a request that creates each document (JSON) in its place under its id."""
    count = len(ids)
    openings = {place: _opening("create", place) for place in set(places)}
    parts = [_AFTER_ID] * (4 * count)
    parts[0::4] = list(openings.values()) * count if len(openings) == 1 else [openings[place] for place in places]
    parts[1::4] = _escaped(ids)
    parts[3::4] = _on_one_line(bodies)
    parts[0] = parts[0][1:]
    parts.append(b"\n")
    return b"".join(parts)


def upsert_body(places: Sequence[str], ids: Sequence[str], bodies: Sequence[bytes], versions: Sequence[int]) -> bytes:
    """Make the body of a request that writes each document unless one of the same or a later version stands there.

    A document of which nothing is left (`b""`) is removed, under the same condition. OpenSearch: `version_type:
    external` takes versions from 0 to 2^63 - 1.
    """
    parts: list[bytes] = []
    rows = zip(places, _escaped(ids), _on_one_line(bodies), versions, strict=True)
    for place, document_id, body, version in rows:
        parts += (
            _opening("index" if body else "delete", place),
            document_id,
            b'","version":%d,"version_type":"external"}}' % version,
        )
        if body:
            parts += (b"\n", body)
    parts[0] = parts[0][1:]
    parts.append(b"\n")
    return b"".join(parts)


@lru_cache(maxsize=4096)
def _opening(operation: str, place: str) -> bytes:
    """What stands before the id; its newline ends the document before."""
    return b'\n{"%s":{"_index":%s,"_id":"' % (operation.encode(), orjson.dumps(place))


def _escaped(ids: Sequence[str]) -> list[bytes]:
    """The ids as they stand between the quotes of a JSON string."""
    # One call for all of them; an id that holds the mark that parts them (DEL) needs a call of its own.
    escaped = orjson.dumps(_MARK.join(ids))[1:-1].split(_MARK.encode())
    return escaped if len(escaped) == len(ids) else [orjson.dumps(document_id)[1:-1] for document_id in ids]


def _on_one_line(bodies: Sequence[bytes]) -> Sequence[bytes]:
    """The bodies without line breaks: in JSON they stand between values only, where a space is as good."""
    if any(map(contains, bodies, repeat(b"\n"))):
        return [body.replace(b"\n", b" ") for body in bodies]
    return bodies
