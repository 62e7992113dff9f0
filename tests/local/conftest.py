from __future__ import annotations

from tests.opensearch_fixture import index_prefix, opensearch, opensearch_server
from tests.stack_fixture import stack, tiny_stack

__all__ = ["index_prefix", "opensearch", "opensearch_server", "stack", "tiny_stack"]
