"""Lambda entry point of the loader function: staged objects go to the warehouse."""

from typing import Any

from aetherstream import loader_app
from aetherstream.startup import LambdaContext

# A mistake in the deployment shows in one message; also to the deployment itself, if it waits for the tables.
_app = loader_app.Loading(loader_app.start_loader)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Load what messages of the queue announce, or answer a request."""
    return _app.handle(event, context)
