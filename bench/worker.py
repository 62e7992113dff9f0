"""Runs one subject in a process of its own: told to go, it runs once and answers with what it took.

A process each, because subjects that share one also share its allocator: what one frees, another finds warm.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import aggregates, data, subjects, warehouse


def main() -> None:
    """Serve runs of the subject that is named by the first argument until the input ends."""
    name = sys.argv[1]
    if name.startswith(("bulk", "search", "parallel")):
        from bench import search

        serve(search.Bodies(name) if name.startswith("bulk") else search.Sender(name), {})
        return
    if name.startswith(("insert", "load")):
        from bench import loads

        serve(loads.Overhead() if name == "loader" else loads.Into(name), {})
        return
    if name.startswith("fold"):
        fold, batch = aggregates.subject(name), aggregates.events()
        getattr(fold, "prepare", lambda _: None)(batch)
        serve(fold, batch)
        return
    if name == "checks":
        serve(warehouse.Checks(), {})
        return
    payloads = data.payloads()
    event = data.aggregated(payloads) if name.endswith("-kpl") else data.plain(payloads)
    del payloads
    if name == "engine-aggregates":
        from bench import aggregating

        serve(aggregating.Aggregating(), event)
        return
    engine = subjects.Engine() if name.startswith("engine") else None
    if name.startswith(("archive", "staging")):
        serve(warehouse.Staging(name), event)
        return
    subject = (
        engine or {"floor": subjects.floor, "floor-kpl": subjects.floor_kpl, "powertools": subjects.powertools}[name]
    )
    serve(subject, event)


def serve(subject: Callable[[Any], object], event: Any) -> None:
    """Run it once for each line that comes in."""
    engine = subject if isinstance(subject, subjects.Engine) else None
    renew = getattr(subject, "renew", lambda: None)
    for _ in sys.stdin:
        renew()
        gc.collect()
        started = time.perf_counter()
        subject(event)
        seconds = time.perf_counter() - started
        answer = {
            "seconds": seconds,
            "steps": dict(engine.report.timings) if engine is not None else {},
            "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1),
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
