"""From a Lambda event to user records: the Kinesis envelope, base64, KPL aggregates, compression, JSON.

Pure: bytes in, values out. What can't be opened is rejected alone, at the finest grain that has bytes of its own.
"""

from aetherstream.decode.decode import Decoder
from aetherstream.decode.envelope import read_batch
from aetherstream.decode.limits import Limits

__all__ = ["Decoder", "Limits", "read_batch"]
