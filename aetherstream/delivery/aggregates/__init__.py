"""The state of aggregates: one item for each aggregate, window, group and shard; each commit is folded into it once.

The parts: `places` (what items are called), `state` (items, and what a store of them promises), `dynamodb`,
`statements` and `windows_dynamodb` (the store), `log` (the redo log of one slot), `memory` (what a warm process knows),
`apply`, `size` (when a state goes on in a further item), `changes` and `results` (what is emitted), `watermark` and
`closing`, and `commits`, which puts them together for one process.

Why it is exact: docs/adr/0026-numbered-commits.md.
"""
