"""Lambda entry point of the recovery function: a request of the command line, or messages of the dead-letter queue."""

from typing import Any

from aetherstream import recovery_app
from aetherstream.startup import LambdaContext

_app = recovery_app.start_recovery()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle one request."""
    return _app.handle(event, context)
