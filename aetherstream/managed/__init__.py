"""Aggregates whose state Lambda keeps (`TumblingWindowInSeconds`): windows of arrival time, one shard for itself.

`combine` puts the shards' partial results together.
"""

from aetherstream.managed.combine import combine

__all__ = ["combine"]
