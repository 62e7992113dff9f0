"""Mending quarantined records on their way back: by a Python function over their bytes, or by steps of a pipeline file.

A patch gives the bytes that the record should have had; what it can't mend stays in the quarantine. It may not turn one
record into several, because the others would have no position.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import msgspec
import yaml

from aetherstream.decode import Decoder
from aetherstream.encoded import encode
from aetherstream.errors import Rejected, UsageError
from aetherstream.records import KinesisRecords, Rejection
from aetherstream.recovery.envelopes import Envelope
from aetherstream.transforms.compiler import compile_steps
from aetherstream.transforms.mistakes import StepMistakes
from aetherstream.transforms.model import Steps
from aetherstream.transforms.plugin import PluginError, load

Patch = Callable[[Envelope], bytes]
"""The mended bytes of a record. Raises Rejected where it can't be mended."""


def patch_of(named: str) -> Patch:
    """The patch of `--patch`: `module:function`, or a YAML file.

    Raises UsageError that says what is wrong with it.
    """
    if named.endswith((".yaml", ".yml")):
        return _steps(Path(named))
    try:
        function = load(named)
    except PluginError as error:
        raise UsageError(f"--patch {named}: {error}") from None

    def patch(envelope: Envelope) -> bytes:
        try:
            made = function(envelope.payload(), envelope.as_json())
        except Rejected:
            raise
        except Exception as error:  # anybody's code
            raise Rejected("patch failed", f"{named}: {type(error).__name__}: {error}") from error
        if made is None:
            raise Rejected("not mended", f"{named} gave None")
        if not isinstance(made, bytes):
            raise UsageError(
                f"--patch {named} returned {type(made).__name__}: it takes bytes and the envelope, and "
                "returns bytes, or None to leave the record"
            )
        return made

    return patch


def _steps(path: Path) -> Patch:
    try:
        found = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--patch {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"--patch {path} is not YAML: {error}") from None
    steps = found.get("transforms") if isinstance(found, dict) else found
    try:
        transform = compile_steps(msgspec.convert(steps, Steps), tables={}, sinks=[], secrets={})
    except (msgspec.ValidationError, StepMistakes) as error:
        raise UsageError(f"--patch {path}: {error}; it holds `transforms:` as a pipeline file does") from None
    decoder = Decoder()

    def patch(envelope: Envelope) -> bytes:
        rejections: list[Rejection] = []
        data = base64.b64encode(envelope.payload()).decode()
        one = KinesisRecords(envelope.stream, envelope.shard, [envelope.sequence], [0.0], [""], [data])
        events = decoder.decode(one, 0, 1, rejections)
        if len(events) == 1 and not rejections:
            transform.apply(events, rejections)
        if rejections:
            raise Rejected(rejections[0].reason, rejections[0].message)
        if len(events) != 1:
            why = f"the steps make {len(events)} records of one"
            raise Rejected("not one record", f"{why}; a patch gives one for one")
        return encode(events.values[0])

    return patch
