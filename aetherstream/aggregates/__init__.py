"""Live aggregates: pure folds of events into windows over event time.

Whatever way events are split into batches and shards, and in whatever order the parts are merged, the result is the
same: exactly so, bytes included, but for what `top_k` lets go beyond its capacity, whose error is bounded and told.

`aggregate` is what is declared, `columns` what a batch brings; `fold` makes of them one partial for each group and
window, with `judge` for what it refuses; `partials` merges partials, writes their bytes and gives results; `ranking`
and `ids` are for those. Below: `windows` and `sessions`; `accumulators` (count, sum, ..., each with `merge` and a
serial form), over `exact` sums and `sketches`; `usable`, `groups` and `scalars` (which values count, and as what);
`serial`.
"""
