"""Results on their way out: `emitter` sends what has changed, `closer` what is final.

Below them: `publish` (outlets), `sessions` and `ranking` (rows that need more than one group's states), `shards` and
`clock` (how far the stream has been committed), `report` and `telemetry`.
"""
