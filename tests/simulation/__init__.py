"""The real engine, ledger and conditional puts against models of their world, in virtual time, by a seed.

`faults` enumerates what goes wrong, `workload` says what is sent and what must come of it, `world` takes turns between
attempts, `models` are the services, `run` drives one schedule, `check` compares, `broken` proves that the checks bite.
Replay one schedule: `python -m tests.simulation SEED`.
"""
