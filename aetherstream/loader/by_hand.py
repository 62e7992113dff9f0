"""What a person asks of the loads, by `aetherstream redshift`: look, change the table, try again what was set aside.

Requests: `{"do": ..., "sink": name or null, "by": who}` and what the word takes. Answers: `{"state": "done", "sinks":
[one a sink]}`, or `{"state": "failed", "message": ...}` for a request that can't be meant. A warehouse that can't be
asked is no failure of the request: its sink says so in `trouble`, and what is known without it stands there.

| `do` | Takes | A sink answers |
|---|---|---|
| `show` | | `table`, `warehouse`, `staging`, `mode`, `through`, `loaded`, `rows`, `last`, `set_aside`, and what `plan` does; \
beside `sinks`: `queue` |
| `plan` | | `table`, `warehouse`, `changes` (`text`, `statement`), `refusals` (`column`, `reason`, `way_out`), `notes` |
| `apply` | | the same, as found before, and `done` (texts); nothing is done while there are refusals |
| `failures` | | `failures` (`object`, `etag`, `load`, `at`, `error`), the latest first, and `more`: how many are not told |
| `retry` | `objects` (`bucket/key` or `s3://bucket/key`) or `all` | `announced`: how many |
| `backfill` | `dry_run`, `after` (a key) | `staged`, `emptied`, `loaded`, `set_aside`, `missing`, `announced`, `names` \
(some of those missing), and `after` where the time was over: asked again with it, it goes on there |
"""
