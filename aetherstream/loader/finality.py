"""Which of the announced objects no attempt and no redrive will change any more.

Whoever may put an object has noted its key in the shard's progress item before, and takes the note out only when
nothing that was begun can change the object any more: an attempt when it completes, a redrive when it commits; what an
abandoned one puts later is fenced off by its epoch. So an object is final if an item that is read after the object was
announced does not note it. Whatever is read of the object itself has to be read after the item.
"""

from __future__ import annotations

from collections.abc import Mapping

from aetherstream.delivery.progress import Progress, ProgressStore, peek, progress_key

OPEN = "an attempt may still write it"
REDRIVEN = "a redrive that has not ended may still write it"
UNKNOWN_SHARD = "its shard has no progress item: it is of another pipeline, or of another stream than the loader's"


class Finality:
    """Asks the progress items of one stream. With delivery `at_least_once` an object is final as soon as it is there:
    it is named by its bytes.
    """

    def __init__(self, pipeline: str, stream: str, progress: ProgressStore | None) -> None:
        """`stream`: ARN; `progress` None: delivery `at_least_once`."""
        self._pipeline = pipeline
        self._stream = stream
        self._progress = progress

    @property
    def fenced(self) -> bool:
        """Whether there are progress items; without them one key may be written twice with the same rows."""
        return self._progress is not None

    def waiting(self, objects: Mapping[str, str]) -> dict[str, str]:
        """Tell which objects (`bucket/key` → shard) are not final, each with the reason.

        Each shard's item is read, now. Raises like `ProgressStore.write`.
        """
        if self._progress is None:
            return {}
        items = {shard: self._item(shard, self._progress) for shard in set(objects.values())}
        reasons = {location: _reason(items[shard], location) for location, shard in objects.items()}
        return {location: reason for location, reason in reasons.items() if reason}

    def _item(self, shard: str, progress: ProgressStore) -> Progress:
        return peek(progress, progress_key(self._pipeline, self._stream, shard))


def _reason(item: Progress, location: str) -> str:
    if not item.revision:
        return UNKNOWN_SHARD
    if location in item.open:
        return OPEN
    return REDRIVEN if location in item.redrive_keys else ""
