"""The real engine, ledger, conditional puts, redrives, emitter and closer against models of their world.

In virtual time, by a seed: `faults` enumerates what goes wrong, `workload` says what is sent and what must come of it,
`stream` has its shards, `reading` hands them on, `world` takes turns between attempts, `parallel` between the puts of
one, `models` are the services, `run` drives one schedule, `recovery` the operators, `spilling` stands in for a sink
that is down, `replays` the quarantine in the end, `check` compares. `declared` are the aggregates, `aggregating` lets
the emitter and the closer work between `state_table` and `emitting`, `check_aggregates` recomputes what must come of
them. `settings` are kinds of schedules, `broken` proves that the checks bite, `shrink` finds the small schedule in a
failing one, `campaign` runs many. `python -m tests.simulation` says how.
"""
