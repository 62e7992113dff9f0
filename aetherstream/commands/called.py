"""A function of the stack that is called with a request, and answers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aetherstream.commands.answers import Answer
from aetherstream.commands.deployed import Deployed
from aetherstream.errors import Retryable, UsageError


class Ended(Exception):
    """The function ended with an error instead of an answer."""

    def __init__(self, who: str, kind: str, text: str) -> None:
        super().__init__(f"{who} ended: {kind}: {text}")
        self.kind = kind
        """The name of the error."""
        self.text = text


class Called:
    """A function, by its name."""

    def __init__(self, deployed: Deployed, kind: str, name: str, seconds: int) -> None:
        """`kind`: what it is to people; `seconds`: the longest that it runs."""
        from botocore.config import Config

        self.title = f"the {kind} function {name}"
        self._name = name
        # A request is asked again by people, not by the client: the first one may still be at work.
        config = Config(read_timeout=seconds + 10, retries={"max_attempts": 0}, tcp_keepalive=True)
        self._lambda = deployed.client("lambda", config=config)

    def invoke(self, request: Mapping[str, Any]) -> Answer:
        """Call it. Raises Retryable where it can't be called, Ended where it gives no answer."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._lambda.invoke(FunctionName=self._name, Payload=json.dumps(request).encode())
            body = answer["Payload"].read()
        except (BotoCoreError, ClientError) as error:
            raise Retryable(f"{self.title} can't be called: {error}") from error
        found: Any = json.loads(body)
        if "FunctionError" in answer:
            raise Ended(self.title, found.get("errorType", "error"), str(found.get("errorMessage", "")))
        return dict(found)

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Call it for an answer that says `done`. Raises UsageError with its message otherwise; Retryable."""
        try:
            found = self.invoke(request)
        except Ended as error:
            raise Retryable(str(error)) from error
        if found["state"] != "done":
            raise UsageError(found["message"])
        return found
