"""`make demo`: the whole system on this machine, with real flights, ending in a report that adds up or says so."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from aetherstream.errors import AetherStreamError
from aetherstream.local.loads import Waiting
from aetherstream.local.progress import Progress as PollerProgress
from aetherstream.local.stack import Stack
from aetherstream.producer.producer import Producer
from demo.closing import close_windows
from demo.findings import Findings, collect
from demo.flights import TOTAL
from demo.report import as_json, show
from demo.search import Index
from demo.traffic import expectation, traffic

STATE = Path(".aetherstream/demo")
REPORT = Path("demo/report.json")
DRAIN_SECONDS = 1800
STOP_SECONDS = 20
# The template's defaults make larger objects and fewer loads; here nobody wants to wait for the last batch to fill.
PARAMETERS = {"MaximumBatchingWindowInSeconds": "3", "RedshiftBatchWindow": "3"}


class Sender:
    """Puts the traffic into the stream, in a thread of its own."""

    def __init__(self, stack: Stack, flights: int) -> None:
        self.sent = 0
        self.error: BaseException | None = None
        self._stack = stack
        self._flights = flights
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            stream = self._stack.outputs["StreamName"]
            with Producer(stream, client=self._stack.clients.kinesis) as producer:
                for transmission in traffic(self._flights):
                    if self._stopping.is_set():
                        break
                    producer.put(transmission.data, transmission.partition_key)
                    self.sent += 1
        except BaseException as error:  # noqa: BLE001 - raised again by `check`
            self.error = error

    def stop(self) -> None:
        """Send nothing more, and let the producer deliver what it holds while the stack still stands."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def check(self) -> None:
        if self.error is not None:
            raise self.error


def run(flights: int, console: Console) -> Findings:
    """Run the stack, send the flights, wait for the end, and count what is there."""
    console.rule("[bold]AetherStream[/bold]: Kinesis → Lambda → S3, OpenSearch, Redshift, on this machine")

    def say(step: str) -> None:
        console.print(f"  {step}", highlight=False)

    with Stack(state=STATE, parameters=PARAMETERS, say=say) as stack:
        console.print(
            f"  {flights:,} flights of 2013 go into the stream [bold]{stack.outputs['StreamName']}[/bold]; "
            "some in KPL aggregates, some compressed, some broken on purpose\n"
        )
        index = Index(stack.opensearch_url) if stack.opensearch_url else None
        started = time.monotonic()
        sender = Sender(stack, flights)
        sender.start()
        with Progress(
            TextColumn("  {task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            console=console,
        ) as bars:
            try:
                _watch(stack, sender, bars)
            finally:
                sender.stop()
            seconds = time.monotonic() - started
            _close_windows(stack, bars)
            if stack.warehouse is not None:
                _watch_loads(stack, bars)
            loaded_after = time.monotonic() - started - seconds
        login = stack.warehouse.login if stack.warehouse is not None else None
        found = collect(stack, expectation(flights), seconds, index, login)
        found.loaded_after = loaded_after
        return found


def _watch(stack: Stack, sender: Sender, bars: Progress) -> None:
    produced: TaskID = bars.add_task("produced", total=None, unit="Kinesis records")
    processed: TaskID = bars.add_task("processed", total=None, unit="Kinesis records")

    def update(progress: PollerProgress | None) -> None:
        bars.update(produced, completed=sender.sent)
        if progress is not None:
            bars.update(processed, completed=progress.read - progress.pending, total=sender.sent)

    while sender.running:
        stack.check()
        for poller in stack.pollers.values():
            update(poller.progress())
        time.sleep(0.2)
    sender.check()
    bars.update(produced, completed=sender.sent, total=sender.sent)
    stack.drain(DRAIN_SECONDS, update, loads=False)


def _close_windows(stack: Stack, bars: Progress) -> None:
    closed: TaskID = bars.add_task("closed", total=None, unit="windows of aggregates")
    close_windows(stack, DRAIN_SECONDS, lambda done, total: bars.update(closed, completed=done, total=total))


def _watch_loads(stack: Stack, bars: Progress) -> None:
    """Wait for what is staged and not loaded yet."""
    most = stack.loads().total
    loaded: TaskID = bars.add_task("loaded", total=most, unit="objects that still waited")

    def update(waiting: Waiting) -> None:
        nonlocal most
        most = max(most, waiting.total)
        bars.update(loaded, completed=most - waiting.total, total=most)

    stack.wait_for_loads(DRAIN_SECONDS, update)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when every record is accounted for."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--flights", type=int, default=20_000, help=f"how many, at most {TOTAL:,}")
    options = parser.parse_args(arguments)
    console = Console()
    if not 1 <= options.flights <= TOTAL:
        parser.error(f"--flights must be between 1 and {TOTAL}")
    try:
        findings = run(options.flights, console)
    except AetherStreamError as error:
        console.print(f"\n[red]{error}[/red]", highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left running.")
        return 130
    REPORT.write_text(json.dumps(as_json(findings), indent=2) + "\n")
    show(findings, console, REPORT)
    return 0 if findings.balanced else 1


if __name__ == "__main__":
    sys.exit(main())
