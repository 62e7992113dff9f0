"""Lambda entry point of the stream function: a batch of Kinesis records in, a partial batch response out."""

from typing import Any

from aetherstream import app
from aetherstream.startup import LambdaContext

# Composed while the environment starts: a mistake in the deployment shows there, in one message, and not per batch.
_app = app.start()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle one batch."""
    return _app.handle(event, context)
