"""Faults injected between the deployed function, its producers and AWS; afterwards the sinks are read.

`scenarios.py` lists the faults. Each is a test, and a row of docs/faults.md: `python -m tests.faults`.
"""
