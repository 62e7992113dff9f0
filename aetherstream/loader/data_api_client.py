"""Statements through the Redshift Data API: submitted, watched, asked for their results, cancelled.

Its answers come as `failures.Refused` where the warehouse refused a statement, as Retryable and ConfigurationError
where the Data API itself did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.data_api_sql import Step, refused, step_of
from aetherstream.warehouse.options import WarehouseOptions

CLIENT: Final = Config(connect_timeout=3, read_timeout=6, retries={"mode": "standard", "total_max_attempts": 3})
"""How its client is to be made."""

_POLL = (0.05, 2.0)
"""Seconds between two looks at a statement: at first, and at most; half as long again from look to look."""
_NOT_SENT = {
    "ActiveStatementsExceededException",
    "ActiveSessionsExceededException",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
}
"""Codes that say that nothing was submitted, and that it may work later."""
_FORBIDDEN = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "UnknownOperationException",
    "ValidationException",
}
"""Codes that stay until somebody changes something; nothing was submitted."""

Clock = Callable[[], float]
State = Literal["running", "finished", "failed", "gone"]


class NotSubmitted(Retryable):
    """The Data API takes no more statements for now; this one was not submitted."""


@dataclass(frozen=True, slots=True)
class Statement:
    """How a submitted statement, or batch, stands."""

    id: str
    state: State
    """`gone`: the Data API does not know it (any more)."""
    error: str = ""
    """`failed`: what the Data API says."""
    step: Step = ""
    """`failed`: which step of a load it was."""
    refused: bool = False
    """`failed`: whether one of its statements was refused, so that nothing is left of it; else nobody knows its end."""
    rows: tuple[int, ...] = ()
    """`finished`: of each statement of a batch, how many rows it gave or touched."""


class DataApi:
    """One database through the Data API. Used by one thread at a time."""

    def __init__(
        self,
        client: Any,
        options: WarehouseOptions,
        *,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`client`: boto3's of `redshift-data`; nothing is asked yet.

        Raises ConfigurationError where the options can't enter a database through the Data API.
        """
        self._client = client
        self._entered = entered(options)
        self._name = options.workgroup or options.cluster or ""
        self._clock = clock
        self._sleep = sleep

    def submit(self, sqls: Sequence[str], token: str, name: str) -> str:
        """Submit one transaction and return its id; the same token again is the same submission.

        Raises NotSubmitted and ConfigurationError where it was not submitted, other Retryables where nobody knows.
        """
        answer = self._call(
            self._client.batch_execute_statement,
            Sqls=list(sqls),
            ClientToken=token,
            StatementName=name,
            **self._entered,
        )
        return str(answer["Id"])

    def look(self, statement: str) -> Statement:
        """How a statement stands now."""
        try:
            told = self._client.describe_statement(Id=statement)
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return Statement(statement, "gone")
            raise self._translated(error) from error
        except BotoCoreError as error:
            raise self._translated(error) from error
        return _standing(told)

    def wait(self, statement: str, due: float) -> Statement:
        """Look until it is done, or until then; looks at least once."""
        pause, longest = _POLL
        while True:
            found = self.look(statement)
            left = due - self._clock()
            if found.state != "running" or left <= 0:
                return found
            self._sleep(min(pause, left))
            pause = min(pause * 1.5, longest)

    def ask(self, sql: str, due: float) -> list[list[Any]]:
        """The rows of one statement, which commits by itself; cancelled where it takes longer.

        Raises Refused, Retryable, ConfigurationError.
        """
        answer = self._call(self._client.execute_statement, Sql=sql, **self._entered)
        statement = str(answer["Id"])
        self._end(statement, due)
        return self._rows(statement, due)

    def do(self, sql: str, due: float) -> None:
        """Run a statement that has no rows, outside of a transaction. Raises like `ask`."""
        answer = self._call(self._client.execute_statement, Sql=sql, **self._entered)
        self._end(str(answer["Id"]), due)

    def run(self, sqls: Sequence[str], due: float) -> tuple[int, ...]:
        """Run one transaction; how many rows each statement touched.

        Raises like `ask`; a Refused that comes from a check says in `doing` from which.
        """
        answer = self._call(self._client.batch_execute_statement, Sqls=list(sqls), **self._entered)
        return self._end(str(answer["Id"]), due).rows

    def cancel(self, statement: str) -> None:
        """Have it end, as far as that works."""
        with suppress(ClientError, BotoCoreError):
            self._client.cancel_statement(Id=statement)

    def _end(self, statement: str, due: float) -> Statement:
        try:
            found = self.wait(statement, due)
        except BaseException:
            self.cancel(statement)
            raise
        if found.state == "running":
            self.cancel(statement)
            raise Retryable(f"the warehouse {self._name} did not answer in time; the statement was cancelled")
        if found.state == "gone":
            raise Retryable(f"the Data API does not know its own statement {statement}")
        if found.state == "failed":
            raise refused(found.error, found.step)
        return found

    def _rows(self, statement: str, due: float) -> list[list[Any]]:
        rows: list[list[Any]] = []
        more: dict[str, str] = {}
        while True:
            try:
                answer = self._client.get_statement_result(Id=statement, **more)
            except (ClientError, BotoCoreError) as error:
                raise self._translated(error) from error
            rows += [[_value(each) for each in record] for record in answer["Records"]]
            if not answer.get("NextToken"):
                return rows
            if self._clock() >= due:
                raise Retryable(f"no time was left for the whole answer of {self._name}")
            more = {"NextToken": answer["NextToken"]}

    def _call(self, call: Callable[..., Any], **request: Any) -> Any:
        try:
            return call(**request)
        except (ClientError, BotoCoreError) as error:
            raise self._translated(error) from error

    def _translated(self, error: ClientError | BotoCoreError) -> Retryable | ConfigurationError:
        said = f"the Data API, for {self._name}: {error}"
        code = _code(error)
        if code in _NOT_SENT:
            return NotSubmitted(said)
        if code in _FORBIDDEN or isinstance(error, ParamValidationError):
            return ConfigurationError(
                f"{said}; look at the sink's workgroup or cluster, database and secret, and at the function's role"
                " (redshift-data:ExecuteStatement, BatchExecuteStatement, DescribeStatement, GetStatementResult,"
                " CancelStatement, and what lets it enter)"
            )
        return Retryable(said)


def entered(options: WarehouseOptions) -> dict[str, str]:
    """What every request says of the database and of who asks. Raises ConfigurationError where something is missing."""
    if bool(options.workgroup) == bool(options.cluster):
        raise ConfigurationError(
            "redshift: `load: {through: data_api}` needs either `workgroup` (Serverless) or `cluster`"
        )
    where = {"WorkgroupName": options.workgroup} if options.workgroup else {"ClusterIdentifier": options.cluster}
    made = {"Database": options.database, **where}
    if options.auth == "password":
        raise ConfigurationError(
            "redshift: the Data API takes no password: `auth: secret` with a Secrets Manager secret, or `auth: iam`"
        )
    if options.auth == "secret":
        if not options.secret:
            raise ConfigurationError("redshift: `auth: secret` needs `secret`, a Secrets Manager secret's ARN or name")
        made["SecretArn"] = options.secret
    elif options.cluster and options.username:
        made["DbUser"] = options.username
    return {name: value for name, value in made.items() if value}


def _standing(told: dict[str, Any]) -> Statement:
    statement, status = str(told["Id"]), told["Status"]
    if status == "FINISHED":
        return Statement(statement, "finished", rows=tuple(sub["ResultRows"] for sub in told.get("SubStatements", ())))
    if status not in ("FAILED", "ABORTED"):
        return Statement(statement, "running")
    failed: dict[str, Any] = next((sub for sub in told.get("SubStatements", ()) if sub["Status"] == "FAILED"), {})
    error = failed.get("Error") or told.get("Error") or f"the statement was {status.lower()}"
    return Statement(statement, "failed", error, step_of(failed.get("QueryString", "")), bool(failed))


def _value(field: dict[str, Any]) -> Any:
    ((kind, value),) = field.items()
    return None if kind == "isNull" else value


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
