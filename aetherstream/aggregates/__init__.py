"""Live aggregates: pure folds of events into windows over event time.

Whatever way events are split into batches and shards, and in whatever order the parts are merged, the result is the
same: exactly so, bytes included, for everything but what `top_k` keeps beyond its capacity, whose error is bounded and
told.

The parts: `windows` (which windows a time belongs to, when one is closed) and `sessions`; `accumulators` (count, sum,
..., each with `merge` and a serial form); `sketches` below them; `aggregate` (what is declared); `columns` (what a
batch brings); `fold` (from there to one partial a group and window); `partials` (merge, bytes, results); `ranking`;
`ids`.
"""
