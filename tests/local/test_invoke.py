from __future__ import annotations

import io
from typing import Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from aetherstream.local.esm import FunctionError, Invoke, Result, Returned, Throttled
from aetherstream.local.invoke import PAYLOAD_LIMIT, InProcessInvoker, LambdaInvoker
from tests.local.fakes import FUNCTION, client_error

INVOKE = Invoke("1", "shard", FUNCTION, {"Records": []})


class FakeLambda:
    def __init__(self, payload: bytes | Exception, **answer: str) -> None:
        self.payload = payload
        self.answer = answer
        self.called: dict[str, Any] = {}

    def invoke(self, **call: Any) -> dict[str, Any]:
        self.called = call
        if isinstance(self.payload, Exception):
            raise self.payload
        return {"Payload": io.BytesIO(self.payload), "ResponseMetadata": {"RequestId": "r"}, **self.answer}


def invoke(function: FakeLambda) -> tuple[Result, str]:
    return LambdaInvoker(cast("Any", function))(INVOKE)


def test_the_function_that_the_mapping_names_gets_the_event() -> None:
    function = FakeLambda(b"null")
    invoke(function)
    assert function.called == {"FunctionName": FUNCTION, "Payload": b'{"Records":[]}'}


def test_a_result_is_decoded() -> None:
    answer = FakeLambda(b'{"batchItemFailures": []}', ExecutedVersion="3")
    assert invoke(answer) == (Returned({"batchItemFailures": []}, "3", "r"), "")


def test_a_function_error_comes_with_its_message() -> None:
    answer = FakeLambda(b'{"errorType": "ValueError", "errorMessage": "no"}', FunctionError="Unhandled")
    assert invoke(answer) == (FunctionError("Unhandled", "$LATEST", "r"), "ValueError: no")


def test_a_response_over_the_limit_is_a_function_error() -> None:
    result, error = invoke(FakeLambda(b'"' + b"x" * PAYLOAD_LIMIT + b'"'))
    assert result == FunctionError("Unhandled", "$LATEST", "r")
    assert error.startswith("Function.ResponseSizeTooLarge")


@pytest.mark.parametrize(
    "error",
    [
        client_error("TooManyRequestsException"),
        client_error("AccessDeniedException"),
        EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
    ],
)
def test_what_fails_before_the_function_ran_is_a_throttle(error: Exception) -> None:
    assert invoke(FakeLambda(error)) == (Throttled(), str(error))


def test_a_function_that_never_answers_has_failed() -> None:
    error = ReadTimeoutError(endpoint_url="http://127.0.0.1:1")
    assert invoke(FakeLambda(error)) == (FunctionError(), str(error))


def in_process(handler: Any) -> Result:
    result, _ = InProcessInvoker(handler, "f", FUNCTION, 30, 128)(INVOKE)
    return result


def test_a_handler_in_process_sees_the_event_and_a_context() -> None:
    seen: list[Any] = []

    def handler(event: Any, context: Any) -> dict[str, Any]:
        seen.extend([event, context.function_name, context.memory_limit_in_mb])
        assert 0 < context.get_remaining_time_in_millis() <= 30_000
        return {"batchItemFailures": []}

    result = in_process(handler)
    assert isinstance(result, Returned)
    assert result.payload == {"batchItemFailures": []}
    assert seen == [{"Records": []}, "f", 128]


def test_a_handler_in_process_that_raises_has_failed() -> None:
    def handler(event: Any, context: Any) -> None:
        raise ValueError("no")

    assert isinstance(in_process(handler), FunctionError)


def test_a_result_in_process_that_is_not_json_is_a_function_error() -> None:
    assert isinstance(in_process(lambda _event, _context: object()), FunctionError)
