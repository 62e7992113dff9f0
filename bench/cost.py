"""`python -m bench.cost`: what aggregates cost for a million events, on paper.

Sizes of states and logs are measured on the real ones; requests are those that tests/engine/test_aggregate_requests.py
counts; times and prices are assumptions, which are printed. What delivery costs without aggregates is left out.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Key, Output
from aetherstream.aggregates.column import Column
from aetherstream.aggregates.partials import Partials, dump
from aetherstream.aggregates.windows import Tumbling, Window
from aetherstream.delivery.aggregates.log import MOST_INLINE, write_log
from aetherstream.managed.fold import ROOM
from aetherstream.managed.state import WindowState

MILLION = 1_000_000
SAMPLE = 400
"""Groups that sizes are measured on."""
KINDS = ("count", "sum", "min", "max", "mean")
SKETCHES = ("count", "distinct", "quantiles")


@dataclass(frozen=True)
class Prices:
    """US dollars; AWS list prices of us-east-1, on demand."""

    write_units: float = 0.625
    """A million write units of DynamoDB: one for each KB of an item."""
    read_units: float = 0.125
    """A million read units: one for each 4 KB, read consistently."""
    puts: float = 5.0
    """A million PUTs into S3."""
    invocations: float = 0.20
    """A million invocations of Lambda; its reading of Kinesis and of the table's stream is free."""
    gb_seconds: float = 16.6667
    """A million GB-seconds of Lambda (x86)."""


@dataclass(frozen=True)
class Assumptions:
    """What the paper assumes of the load and of the function."""

    window_events: int = 3_600_000
    """Events of a window and shard: an hour of the 1,000 records a second that a shard takes."""
    memory_gb: float = 1.73
    """1,769 MB: one processor (AWS)."""
    event_us: float = 1.0
    """Processor time of folding an event (`make bench`: fold)."""
    group_us: float = 250.0
    """Time of a group of a batch in the stream function: folding it, logging it, writing it by statements of 25."""
    emit_us: float = 1500.0
    """Time of a changed group in the emitter: a query and its share of sending."""
    window_event_us: float = 7.0
    """Time of an event in the window function, which decodes and transforms it once more (`make bench`: engine)."""
    window_group_us: float = 15.0
    """Time of a group in its state, for a batch that touches it."""
    item_overhead: int = 200
    """Bytes of an item beside its state: keys of some 130 bytes, names, the number of the commit, group and window."""


@dataclass(frozen=True)
class Sizes:
    """Bytes a group, measured."""

    state: float
    """In its item."""
    log: float
    """In the redo log, compressed."""
    window: float
    """In the state that Lambda keeps."""


def aggregate(kinds: tuple[str, ...]) -> Aggregate:
    """One with these results of one field."""
    outputs = tuple(Output(kind, make(kind), None if kind == "count" else "temperature") for kind in kinds)
    return Aggregate("bench", (("device", "device"),), Tumbling(3600), outputs)


def measured(own: Aggregate, values: int) -> Sizes:
    """Measure states of so many values each."""
    rng = random.Random(20261121)
    partials: Partials = {}
    for index in range(SAMPLE):
        column = Column([round(rng.gauss(20, 5), 3) for _ in range(values)])
        key = Key(own.name, Window(0, 3600), f'["dev-{index:05d}"]')
        partials[key] = tuple(output.accumulator.fold(column) for output in own.outputs)
    dumped = {key.group: dump(own, partial) for key, partial in partials.items()}
    log = write_log({own.name: own}, partials, 1, 1)
    window = WindowState("1", "2", 1, {own.name: dumped}).size([own])
    return Sizes(sum(map(len, dumped.values())) / SAMPLE, len(log) / SAMPLE, window / SAMPLE)


def touched(groups: int, batch: int) -> float:
    """Groups that a batch touches, where events fall on all groups alike: the dearest case."""
    return groups * (1 - (1 - 1 / groups) ** batch)


@dataclass(frozen=True)
class Cost:
    """US dollars for a million events."""

    states: float
    log: float
    closing: float
    folding: float
    emission: float
    """Of `emit: updates`, in the emitter; with `emit: close` this is closing's."""
    window: float
    """The same from the state that Lambda keeps."""
    parts: int
    """Into how many parts a window's state is cut there."""


def cost(own: Aggregate, groups: int, batch: int, prices: Prices, given: Assumptions) -> Cost:
    """Work out one line."""
    batches, changed = MILLION / batch, touched(groups, batch)
    stored = measured(own, min(200, max(1, given.window_events // groups)))
    logged = measured(own, max(1, round(batch / changed)))
    units = ceil((given.item_overhead + stored.state) / 1024)
    log = changed * logged.log
    windows = MILLION / given.window_events
    second = given.memory_gb * prices.gb_seconds / MILLION
    reads = ceil((given.item_overhead + stored.state) / 4096)
    in_state = min(groups, ROOM / stored.window)
    return Cost(
        states=batches * changed * units * prices.write_units / MILLION,
        # Inline it makes two writes of the progress item larger: completing, and the next claim.
        log=batches * (2 * ceil(log / 1024) * prices.write_units if log <= MOST_INLINE else prices.puts) / MILLION,
        # An update that lets the item expire, and a read, for each group of a window.
        closing=windows * groups * (units * prices.write_units + reads * prices.read_units) / MILLION,
        folding=second * (given.event_us + batches * changed * given.group_us / MILLION),
        emission=batches * changed * (reads * prices.read_units / MILLION + given.emit_us / MILLION * second),
        window=batches * prices.invocations / MILLION
        + second * (given.window_event_us + batches * min(changed, in_state) * given.window_group_us / MILLION),
        parts=ceil(groups * stored.window / ROOM),
    )


def lines(prices: Prices, given: Assumptions) -> Iterator[str]:
    """The table."""
    yield (
        f"{'results':<34}{'batch':>7}{'groups':>9}{'touched':>9}{'states':>9}{'log':>8}{'closing':>9}{'folding':>9}"
        f"{'= close':>9}{'emitter':>9}{'= updates':>11}{'lambda':>9}{'parts':>7}"
    )
    for kinds in (KINDS, SKETCHES):
        own = aggregate(kinds)
        for batch in (1_000, 10_000):
            for groups in (10, 1_000, 100_000):
                found = cost(own, groups, batch, prices, given)
                at_close = found.states + found.log + found.closing + found.folding
                yield (
                    f"{', '.join(kinds):<34}{batch:>7,}{groups:>9,}{touched(groups, batch):>9,.0f}{found.states:>9.4f}"
                    f"{found.log:>8.4f}{found.closing:>9.4f}{found.folding:>9.4f}{at_close:>9.4f}{found.emission:>9.4f}"
                    f"{at_close + found.emission:>11.4f}{found.window:>9.4f}{found.parts:>7}"
                )


def main() -> int:
    """Print the table and what it assumes."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__)
    for name, value in {**vars(Prices()), **vars(Assumptions())}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    prices = Prices(**{name: options[name] for name in vars(Prices())})
    given = Assumptions(**{name: options[name] for name in vars(Assumptions())})
    print("US dollars for a million events that fall on all groups alike, one shard, one aggregate:\n")
    for line in lines(prices, given):
        print(line)
    print(
        "\nclose: states, log, closing and folding, for `emit: close`; updates: with the emitter, too; lambda: "
        "`state: lambda`,\nwhose windows go out in so many parts. What sinks take for results is not counted.\n\n"
        "Assumed (each is an option):"
    )
    for name, value in {**vars(prices), **vars(given)}.items():
        print(f"  --{name.replace('_', '-'):<18}{value:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
