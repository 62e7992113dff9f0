"""What a person sees while a file is put on a stream: a bar where stderr is a terminal, else a line now and then."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Protocol, Self

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

EVERY = 10.0  # seconds between lines where there is no terminal
BAR_EVERY = 0.1


class Display(Protocol):
    """Shows how far it is."""

    def tick(self, read: int, bad: int) -> None:
        """So many lines are read, so many of them bad."""

    def say(self, text: str) -> None:
        """Print a message without spoiling the display."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


def progress_of(raw: IO[bytes], file: str, clock: Callable[[], float] = time.monotonic) -> Display:
    """The display for reading this file."""
    return Bar(raw, file, clock) if sys.stderr.isatty() else Lines(clock)


class Lines:
    """A plain line every ten seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next = clock() + EVERY

    def tick(self, read: int, bad: int) -> None:
        """See `Display`."""
        if self._clock() >= self._next:
            self._next = self._clock() + EVERY
            self.say(f"{read:,} lines read, {bad:,} bad")

    def say(self, text: str) -> None:
        """See `Display`."""
        click.echo(text, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, at: object) -> None:
        """Nothing to clear away."""


class Bar:
    """A bar by the bytes of the file; for a pipe, whose end is unknown, a spinner."""

    def __init__(self, raw: IO[bytes], file: str, clock: Callable[[], float]) -> None:
        info = os.fstat(raw.fileno())
        self._raw = raw
        self._sized = stat.S_ISREG(info.st_mode) and info.st_size > 0
        self._clock = clock
        self._next = 0.0
        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn()) if self._sized else ()
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True
        )
        self._task = self._progress.add_task(file, total=info.st_size if self._sized else None)

    def tick(self, read: int, bad: int) -> None:
        """See `Display`."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + BAR_EVERY
        words = f"{read:,} lines" + (f", {bad:,} bad" if bad else "")
        self._progress.update(self._task, description=words, completed=self._raw.tell() if self._sized else None)

    def say(self, text: str) -> None:
        """See `Display`."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: object, error: object, at: object) -> None:
        """Clear the bar away."""
        self._progress.stop()
