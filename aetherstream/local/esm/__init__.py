"""An event source mapping of a Kinesis stream, or of a table's, by AWS's rules, without input and output.

One implementation for the local runner, which polls a real stream with it, and for the simulation, which drives it in
virtual time. `machine.Mapping` is the machine; `settings` reads its settings; `actions` is what it asks for and is
told; `events` builds the events. What AWS documents or was observed to do is held; where AWS is silent each module
names the choice it makes. Stream retention is not modelled: an unlimited mapping retries for ever.
"""

from aetherstream.local.esm.actions import Action, Discard, FunctionError, Invoke, Result, Returned, Throttled
from aetherstream.local.esm.backoff import Backoff
from aetherstream.local.esm.changes import as_record, is_table
from aetherstream.local.esm.counts import Counts
from aetherstream.local.esm.events import StreamRecord, kinesis_event, window_event
from aetherstream.local.esm.machine import Mapping
from aetherstream.local.esm.settings import MappingSettings

__all__ = [
    "Action",
    "Backoff",
    "Counts",
    "Discard",
    "FunctionError",
    "Invoke",
    "Mapping",
    "MappingSettings",
    "Result",
    "Returned",
    "StreamRecord",
    "Throttled",
    "as_record",
    "is_table",
    "kinesis_event",
    "window_event",
]
