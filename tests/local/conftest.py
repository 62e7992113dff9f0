from __future__ import annotations

from tests.opensearch_fixture import index_prefix, opensearch, opensearch_server
from tests.stack_fixture import tiny_stack

__all__ = ["index_prefix", "opensearch", "opensearch_server", "tiny_stack"]
