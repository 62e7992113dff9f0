"""Benchmarks: the engine beside its floor and its peers, in one run."""
