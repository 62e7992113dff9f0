"""The wire messages of KPL aggregates, from `aws-kinesis-agg`, without its reader and its changes to `sys.path`.

An aggregate is `MAGIC`, a serialised `AggregatedRecord`, and the 16 bytes of its MD5 (amazon-kinesis-producer,
`aggregation-format.md`).
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

MAGIC: Final = b"\xf3\x89\x9a\xc2"


def _messages() -> Any:
    # The generated module says `import config_pb2`, which the library makes true by putting its own directory in front
    # of sys.path. Lending the name for the length of one import leaves the path alone and spares `six`.
    alias = "config_pb2"
    before = sys.modules.get(alias)
    sys.modules[alias] = importlib.import_module("aws_kinesis_agg.config_pb2")
    try:
        return importlib.import_module("aws_kinesis_agg.messages_pb2")
    finally:
        if before is None:
            del sys.modules[alias]
        else:
            sys.modules[alias] = before


AggregatedRecord: Any = _messages().AggregatedRecord

__all__ = ["MAGIC", "AggregatedRecord"]
