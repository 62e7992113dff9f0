"""Lambda entry point of the closer function: windows that the watermark has passed go out, once a minute."""

from typing import Any

from aetherstream import closer_app
from aetherstream.startup import LambdaContext

_app = closer_app.start_closer()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Close for as long as anything is due and there is time."""
    return _app.handle(event, context)
