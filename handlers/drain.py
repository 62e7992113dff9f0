"""Lambda entry point of the drain function: what was spilled in an outage goes to its sink, once a minute."""

from typing import Any

from aetherstream import drain_app
from aetherstream.startup import LambdaContext

_app = drain_app.start_drain()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Drain for as long as there is something and time."""
    return _app.handle(event, context)
