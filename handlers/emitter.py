"""Lambda entry point of the emitter function: changed states of aggregates go out as results."""

from typing import Any

from aetherstream import emitter_app
from aetherstream.startup import LambdaContext

_app = emitter_app.start_emitter()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Emit what a batch of the state table's stream tells of."""
    return _app.handle(event, context)
