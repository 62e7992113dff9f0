"""Which user records an expression chooses; the language is that of the pipeline's steps."""

from __future__ import annotations

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


def matching(decoder: Decode, batch: KinesisRecords, where: str) -> tuple[set[str], int]:
    """The positions `shard:sequence:sub` of the decoded records for which it holds, and how many records there are.

    What can't be decoded is counted and never chosen.
    """
    condition = expression(where)
    refused: list[Rejection] = []
    events = decoder.decode(batch, 0, len(batch), refused)
    chosen = {
        f"{batch.shard}:{batch.sequences[record]}:{sub}"
        for value, record, sub in zip(events.values, events.records, events.subs, strict=True)
        if holds(condition, value)
    }
    return chosen, len(events) + len(refused)
