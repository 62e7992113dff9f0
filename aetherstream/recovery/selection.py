"""Which user records an expression chooses; the language is that of the pipeline's steps."""

from __future__ import annotations

from collections.abc import Iterator

from aetherstream.core import Decode
from aetherstream.errors import Rejected, UsageError
from aetherstream.records import KinesisRecords, Rejection
from aetherstream.transforms.expressions import Expression, ExpressionError, compile_expression


def expression(text: str) -> Expression:
    """Compile an expression of the command line. Raises UsageError that names the mistake."""
    try:
        return compile_expression(text)
    except ExpressionError as error:
        raise UsageError(f"--where {text!r}: {error}") from None


def holds(condition: Expression, value: dict[str, object]) -> bool:
    """Whether it holds; what it can't be asked of (a missing number, say) it does not hold for."""
    try:
        return bool(condition(value))
    except Rejected:
        return False


class Matching:
    """Tells of a user record of a batch (`shard:sequence:sub`) whether an expression holds for it, decoded.

    A Kinesis record is decoded when it is first asked for: a redrive asks of what it is at work on, so that a record
    which kills the decoder is found like any other. What can't be decoded is not chosen.
    """

    def __init__(self, decoder: Decode, batch: KinesisRecords, where: str) -> None:
        """Raise UsageError where `where` is no expression."""
        self._condition = expression(where)
        self._decoder = decoder
        self._batch = batch
        self._index = {f"{batch.shard}:{sequence}": index for index, sequence in enumerate(batch.sequences)}
        self._chosen: dict[str, set[int]] = {}

    def __call__(self, name: str) -> bool:
        """Whether a user record is chosen; one that could not be opened (`shard:sequence`) is not."""
        shard, sequence, *sub = name.split(":")
        whole = f"{shard}:{sequence}"
        if not sub:
            return False
        if whole not in self._chosen:
            self._chosen[whole] = set(self._decoded(self._index[whole]))
        return int(sub[0]) in self._chosen[whole]

    def _decoded(self, index: int) -> Iterator[int]:
        refused: list[Rejection] = []
        events = self._decoder.decode(self._batch, index, index + 1, refused)
        for value, sub in zip(events.values, events.subs, strict=True):
            if holds(self._condition, value):
                yield sub
