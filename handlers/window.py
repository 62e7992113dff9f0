"""Lambda entry point of the window function: a batch and its window's state in, the state with the batch out."""

from typing import Any

from aetherstream import window_app
from aetherstream.startup import LambdaContext

_app = window_app.start_window()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Fold one batch; at the window's end send its results."""
    return _app.handle(event, context)
