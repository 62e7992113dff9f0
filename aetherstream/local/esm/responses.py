"""What a function's response says about its batch.

Observed on AWS: six empty shapes are success; an identifier that is empty, null, misspelt or a number fails the batch.
Chosen where AWS is silent: an identifier that is not in the batch, a `batchItemFailures` that is no list, and a
response that is neither empty nor an object fail the batch; an object without `batchItemFailures` is success.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Verdict(NamedTuple):
    """`succeeded` leading records are done; `whole` says that the batch failed as a whole, like by an exception."""

    succeeded: int
    whole: bool = False


FAILED = Verdict(0, whole=True)


def judge(payload: object, sequence_numbers: Sequence[str], *, report_batch_item_failures: bool) -> Verdict:
    """Judge a response to a batch with these sequence numbers.

    Several identifiers: the lowest, compared as an integer, counts (AWS: batch failure reporting).
    """
    success = Verdict(len(sequence_numbers))
    if not report_batch_item_failures or payload is None or payload in ("", [], {}):
        return success
    if not isinstance(payload, dict):
        return FAILED
    failures = payload.get("batchItemFailures")
    if failures is None or failures == []:
        return success
    if not isinstance(failures, list):
        return FAILED
    index = {number: i for i, number in enumerate(sequence_numbers)}
    identifiers: list[str] = []
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(identifier, str) or identifier not in index:
            return FAILED
        identifiers.append(identifier)
    return Verdict(index[min(identifiers, key=int)])


def window_state(payload: object) -> dict[str, Any] | None:
    """The `state` of a tumbling-window response; `None`, which fails the invocation, where it has none (AWS)."""
    state = payload.get("state") if isinstance(payload, dict) else None
    return state if isinstance(state, dict) else None
