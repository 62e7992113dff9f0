"""The puts of one attempt: in parallel, bounded in time, every one of them joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from hashlib import sha256

from aetherstream.delivery.put import ObjectStore, put
from aetherstream.errors import Retryable, Superseded


class Writer:
    """Puts objects for one attempt.

    Once a put has failed, or when the time that is left is less than a put may take, no further one is begun: an
    attempt has to end by itself. One that Lambda ends looks like a record that kills the process.
    """

    def __init__(
        self,
        store: ObjectStore,
        executor: Executor,
        *,
        epoch: int | None,
        seconds_left: Callable[[], float],
        longest: float,
    ) -> None:
        """`epoch` None: puts are not fenced (delivery `at_least_once`); `longest`: seconds that one put may take."""
        self._store = store
        self._executor = executor
        self._epoch = epoch
        self._seconds_left = seconds_left
        self._longest = longest
        self._jobs: list[Future[int]] = []
        self._failed = False

    def put(self, bucket: str, key: str, make: Callable[[], bytes], metadata: Mapping[str, str]) -> None:
        """Begin to put what `make` gives, in another thread: compressing is parallel too."""
        self._jobs.append(self._executor.submit(self._put, bucket, key, make, metadata))

    def _put(self, bucket: str, key: str, make: Callable[[], bytes], metadata: Mapping[str, str]) -> int:
        if self._failed:
            raise Retryable(f"s3://{bucket}/{key}: not begun, another put of the attempt had failed")
        if self._seconds_left() < self._longest:
            raise Retryable(f"s3://{bucket}/{key}: not begun, less than {self._longest:g} s were left")
        try:
            body = make()
            if self._epoch is None:
                self._store.overwrite(bucket, _named_by_bytes(key, body), body, metadata)
            else:
                put(self._store, bucket, key, body, metadata, self._epoch)
        except BaseException:
            self._failed = True
            raise
        return len(body)

    def join(self) -> list[int]:
        """Wait for every put that was begun; return their sizes in bytes.

        Raises the error that says most: being superseded before anything else, then the first one.
        """
        jobs, self._jobs = self._jobs, []
        # Each of them is waited for, also behind one that failed.
        errors = [error for job in jobs if (error := job.exception()) is not None]
        if errors:
            raise next((error for error in errors if isinstance(error, Superseded)), errors[0])
        return [job.result() for job in jobs]


def _named_by_bytes(key: str, body: bytes) -> str:
    """Nothing fences an unconditional put, but an object named by its bytes can't replace one that holds more."""
    folder, _, name = key.rpartition("/")
    stem, _, suffix = name.partition(".")
    return f"{folder}/{stem}-{sha256(body).hexdigest()[:16]}.{suffix}"
