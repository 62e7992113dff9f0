"""From a document to the bytes of each of its user records, by the flat indexes that reading gives them."""

from __future__ import annotations

import msgspec

from aetherstream.decode.documents import Item, Refusal, read_document, split_array
from aetherstream.decode.limits import Limits

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_SLICED = 2 << 20
"""Bytes of an array up to which its elements are slices of its text: finding them takes twenty times as long."""


def cut_document(data: bytes, limits: Limits, sliced: int = _SLICED) -> list[bytes]:
    """Return the bytes of the user records of one document: its lines or elements; all of it where it is one record.

    The elements of an array longer than `sliced` bytes are written anew: equal values, not equal bytes.

    Raises:
        Rejected: `read_document` refuses the document as a whole.
    """
    items = read_document(data, limits)
    if len(items) == 1:
        return [data]
    text = data.removeprefix(_BOM).strip(_SPACE)
    pieces = None
    if text[:1] == b"[":
        if len(text) > sliced:
            return list(map(_written, items))
        pieces = split_array(text)
    # What begins like an array can still be lines.
    return pieces or [line for line in text.split(b"\n") if line.strip(_SPACE)]


def _written(item: Item) -> bytes:
    return item.payload if isinstance(item, Refusal) else msgspec.json.encode(item)
