"""The OpenSearch sink: bulk requests in parallel, of which only the items that failed are sent again.

A request whose answer is lost is sent again as it is: `create` under the event's id, and an external version, leave one
document however often they arrive.
"""

from __future__ import annotations

import logging
import random as chance
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from functools import partial

from aetherstream.errors import ConfigurationError, Rejected
from aetherstream.sinks.base import Answer, Documents, Outcome
from aetherstream.sinks.opensearch.bulk import create_body, cut, unsendable, upsert_body
from aetherstream.sinks.opensearch.requests import Moments, Requests, Retries, take
from aetherstream.sinks.opensearch.wire import Unreachable, Wire

_log = logging.getLogger(__name__)

# Of each item only what is read: a tenth of the bytes. Encoded as the signature has it.
_PATH = "/_bulk?filter_path=errors%2Citems.%2A.status%2Citems.%2A.error"

_LAST_SECONDS = 0.25

LOOK_AGAIN = 60.0
"""Seconds from one preparation to the next: a cluster may come back from an outage empty, under the same name."""

_AGAIN_SECONDS = 2.0
"""Most that a preparation after the first may take; where it fails, the writes tell what is wrong."""

LARGEST = 100 * 1024 * 1024
"""OpenSearch: `http.max_content_length` is 100 MB by default; a cluster that takes less answers 413."""


def nothing(seconds: float) -> Sequence[str]:  # noqa: ARG001
    """Prepare nothing."""
    return ()


_LONGEST = 900.0
"""Seconds: no function runs longer (AWS: Lambda's time-out), and a wait has to have an end."""


class OpenSearchSink:
    """`RecordSink` that writes each document once under its id, into its place."""

    def __init__(
        self,
        name: str,
        wire: Wire,
        *,
        documents: int = 2000,
        bytes: int = 5_000_000,  # noqa: A002 - the pipeline file's word
        parallel: int = 4,
        largest: int = LARGEST,
        prepare: Callable[[float], Sequence[str]] = nothing,
        warn: Callable[[str], object] = _log.warning,
        require_alias: bool = False,
        retries: Retries | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = chance.random,
        executor: Executor | None = None,
    ) -> None:
        """Make the sink; nothing is sent.

        `documents`, `bytes`: of one request; `parallel`: requests at once; `largest`: bytes of a document that is
        refused without asking. `prepare` runs before the first write with the seconds that it may take, until it
        returns, and again each minute in which something is written; what it returns goes to `warn` when it is new.
        With `require_alias` a place that is no alias is not made an index.
        """
        self.name = name
        self._wire = wire
        self._path = f"{_PATH}&require_alias=true" if require_alias else _PATH
        self._documents = documents
        self._bytes = bytes
        self._largest = largest
        self._prepare = prepare
        self._looked: float | None = None
        self._warned: Sequence[str] = ()
        self._warn = warn
        self._retries = retries or Retries()
        self._clock, self._sleep, self._random = clock, sleep, random
        self._executor = executor or ThreadPoolExecutor(parallel, f"opensearch-{name}")

    def deliver(self, documents: Documents, seconds: float, /) -> Outcome:
        """See `RecordSink.deliver`."""

        def body(chunk: Sequence[int]) -> bytes:
            places, ids = take(documents.places, chunk), take(documents.ids, chunk)
            return create_body(places, ids, take(documents.bodies, chunk))

        return self._write(documents, body, seconds)

    def upsert(self, documents: Documents, versions: Sequence[int], seconds: float, /) -> Outcome:
        """Write each document over an older version of itself; where a later one stands, that is as good.

        Versions are whole numbers from 0 to 2^63 - 1 that only grow. A document whose body is empty is removed. Data
        streams take no upserts.
        """

        def body(chunk: Sequence[int]) -> bytes:
            places, ids = take(documents.places, chunk), take(documents.ids, chunk)
            return upsert_body(places, ids, take(documents.bodies, chunk), take(versions, chunk))

        return self._write(documents, body, seconds)

    def _write(self, documents: Documents, body: Callable[[Sequence[int]], bytes], seconds: float) -> Outcome:
        outcome = Outcome()
        refused = unsendable(documents.ids, documents.bodies, self._largest)
        outcome.rejected.update({documents.ids[index]: why for index, why in refused.items()})
        chunks = self._cut(documents, refused)
        if not chunks:
            return outcome
        # What is left at the end is for breaking a request that trickles, and for joining it.
        begun, seconds = self._clock(), min(seconds, _LONGEST)
        margin = min(_LAST_SECONDS, seconds * 0.05)
        send = partial(self._wire.request, "POST", self._path)
        moments = Moments(begun + seconds - 2 * margin, self._clock, self._sleep, self._random)
        requests = Requests(send, documents.ids, body, moments, self._retries)
        self._wire.begin()
        until = begun + seconds - margin
        if (refusal := self._unready(sum(map(len, chunks)), moments, until, outcome)) is not None:
            for chunk in chunks:
                outcome.undelivered.update(dict.fromkeys(take(documents.ids, chunk), refusal.why))
            return outcome
        futures = [self._executor.submit(requests.send, chunk) for chunk in chunks]
        _, running = wait(futures, max(0.0, until - self._clock()))
        if running:
            requests.stop("no answer in time")
            self._wire.abort()
            _, running = wait(futures, margin)
        for chunk, future in zip(chunks, futures, strict=True):
            if future in running:
                why = "no answer in time"
                outcome.undelivered.update(dict.fromkeys(take(documents.ids, chunk), why))
                outcome.answers.append(Answer(len(chunk), len(chunk), why))
                continue
            part = future.result()
            outcome.rejected.update(part.rejected)
            outcome.undelivered.update(part.undelivered)
            outcome.answers += part.answers
        return outcome

    def _cut(self, documents: Documents, refused: dict[int, Rejected]) -> list[Sequence[int]]:
        ids, bodies = documents.ids, documents.bodies
        if not refused:
            return [range(start, end) for start, end in cut(ids, bodies, self._documents, self._bytes)]
        left = [index for index in range(len(ids)) if index not in refused]
        cuts = cut(take(ids, left), take(bodies, left), self._documents, self._bytes)
        return [left[start:end] for start, end in cuts]

    def _unready(self, count: int, moments: Moments, until: float, outcome: Outcome) -> Answer | None:
        """Prepare the cluster, as often as a request would be sent; the last failure where it can't be."""
        tries = 0
        while (failed := self._prepared(count, moments.left(), until)) is not None:
            outcome.answers.append(failed)
            tries += 1
            pause = self._retries.pause(tries, self._random())
            if failed.refused or tries >= self._retries.fruitless or pause >= moments.left():
                return failed
            self._sleep(pause)
        return None

    def _prepared(self, count: int, seconds: float, until: float) -> Answer | None:
        """Prepare the cluster unless that was done lately; where it never could be, what the delivery comes to."""
        now, looked = self._clock(), self._looked
        if seconds <= 0 or (looked is not None and now - looked < LOOK_AGAIN):
            return None
        if looked is not None:
            seconds, until = min(seconds, _AGAIN_SECONDS), min(until, now + _AGAIN_SECONDS)
        future = self._executor.submit(self._prepare, seconds)
        if wait([future], max(0.0, until - now)).not_done:
            self._wire.abort()
        try:
            warnings = future.result(_LAST_SECONDS)
        except TimeoutError:
            failed = Answer(count, count, "no answer in time")
        except Unreachable as error:
            failed = Answer(count, count, str(error))
        except ConfigurationError as error:
            failed = Answer(count, count, str(error), refused=True)
        else:
            self._looked = now
            if warnings != self._warned:
                for warning in warnings:
                    self._warn(warning)
            self._warned = warnings
            return None
        return failed if looked is None else None
