"""The Redshift Data API on one machine, on top of the stand-in for Redshift: loopback only, no TLS.

    with LocalDataApi(warehouse) as api:
        boto3.client("redshift-data", endpoint_url=api.endpoint)

It speaks the API's protocol (JSON 1.1), so that boto3's client is used unchanged. Requests run in the background, each
in a session of its own; what it does not know it refuses. docs/reference/local-redshift.md lists where it differs.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol, Self

from aetherstream.errors import UsageError
from aetherstream.local.environment import LOOPBACK
from aetherstream.local.redshift.errors import StandInError
from aetherstream.local.redshift.parameters import with_parameters
from aetherstream.local.redshift.results import pages
from aetherstream.local.redshift.statements import Request, Statements, Sub, new_id
from aetherstream.local.redshift.told import described, submitted, summary

MAX_STATEMENTS = 40
"""AWS: of a batch."""
MAX_STATEMENT_BYTES = 100_000
"""AWS: 100 KB."""
MAX_WAIT = 30
"""AWS: WaitTimeSeconds."""
MAX_ACTIVE = 500
"""AWS: statements that run or wait, of one warehouse."""
PAGE = 1000
"""Records of one answer."""

_TARGET = "RedshiftData."
_ENTERED = {"ClusterIdentifier", "WorkgroupName", "SecretArn", "DbUser", "Database"}
_SUBMIT = {*_ENTERED, "StatementName", "Parameters", "ClientToken", "WaitTimeSeconds"}
_TAKEN = {
    "ExecuteStatement": {*_SUBMIT, "Sql"},
    "BatchExecuteStatement": {*_SUBMIT, "Sqls"},
    "DescribeStatement": {"Id", "WaitTimeSeconds"},
    "GetStatementResult": {"Id", "NextToken", "WaitTimeSeconds"},
    "CancelStatement": {"Id"},
    "ListStatements": {"Status", "StatementName", "MaxResults", "NextToken", "RoleLevel"},
}
"""What of a request is understood."""
# What says the same as its absence.
_DEFAULTS = {"WithEvent": False, "ResultFormat": "JSON", "ExecutionMode": "TRANSACTION"}
_ID = re.compile(r"([a-z0-9]{8}(?:-[a-z0-9]{4}){3}-[a-z0-9]{12})(?::(\d{1,2}))?")

Answer = dict[str, Any]


class Refused(Exception):
    """An error of the API: its code, what it says, and what more stands in it."""

    def __init__(self, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.more = more


class Login(Protocol):
    """A warehouse that runs, as `LocalRedshift` is."""

    @property
    def login(self) -> Mapping[str, Any]:
        """What `redshift_connector.connect` takes; asked for each session."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away while it waited."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class LocalDataApi:
    """The Data API of one warehouse. `start` after `stop` takes the same port and knows no statement of before.

    `port`: 0 for a free one. `active`: most statements that run or wait. `page`: records of one answer.
    """

    def __init__(self, warehouse: Login, *, port: int = 0, active: int = MAX_ACTIVE, page: int = PAGE) -> None:
        self._warehouse = warehouse
        self._port = port
        self._active = active
        self._page = page
        self._server: _Server | None = None
        self._tokens: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()
        self._statements = Statements(lambda: warehouse.login)

    @property
    def endpoint(self) -> str:
        """The URL of its endpoint, from the first start on."""
        if not self._port:
            raise UsageError("this Data API is not started: call start(), or use it in a `with` statement")
        return f"http://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Listen. Does nothing while it runs. Raises `UsageError` when the port is taken."""
        if self._server is not None:
            return
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                api._post(self)

            def log_message(self, *args: object) -> None:
                """Nothing: statements tell how they fared."""

        try:
            self._server = _Server((LOOPBACK, self._port), Handler)
        except OSError as error:
            raise UsageError(f"port {self._port} on {LOOPBACK} can't be used ({error.strerror})") from error
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True, name="data-api").start()

    def stop(self) -> None:
        """Stop it and end what runs; all statements are forgotten. Twice does no harm."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        self._statements.stop()
        self._statements = Statements(lambda: self._warehouse.login)
        self._tokens.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- The protocol --------------------------------------------------------------------------------------------------

    def _post(self, http: BaseHTTPRequestHandler) -> None:
        body = http.rfile.read(int(http.headers.get("Content-Length", 0)))
        try:
            status, answer = 200, self._answer(http.headers.get("X-Amz-Target", ""), body)
        except Refused as refused:
            status = 500 if refused.code == "InternalServerException" else 400
            answer = {"__type": refused.code, "Message": refused.message, "message": refused.message, **refused.more}
        sent = json.dumps(answer).encode()
        http.send_response(status)
        http.send_header("Content-Type", "application/x-amz-json-1.1")
        http.send_header("x-amzn-RequestId", new_id())
        http.send_header("Content-Length", str(len(sent)))
        http.end_headers()
        http.wfile.write(sent)

    def _answer(self, target: str, body: bytes) -> Answer:
        operation = target.removeprefix(_TARGET)
        answers: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
            "ExecuteStatement": self._submit,
            "BatchExecuteStatement": self._submit,
            "DescribeStatement": self._describe,
            "GetStatementResult": self._result,
            "CancelStatement": self._cancel,
            "ListStatements": self._list,
        }
        if not target.startswith(_TARGET) or operation not in answers:
            raise Refused("UnknownOperationException", _unknown(target))
        try:
            given: dict[str, Any] = json.loads(body)
        except ValueError as error:
            raise Refused("SerializationException", str(error)) from error
        for name in given.keys() - _TAKEN[operation]:
            if name not in _DEFAULTS or given[name] != _DEFAULTS[name]:
                raise Refused("ValidationException", _unknown(f"{operation} with {name} {given[name]!r}"))
        return answers[operation](given)

    # -- The operations ------------------------------------------------------------------------------------------------

    def _submit(self, given: Mapping[str, Any]) -> Answer:
        _check_entered(given)
        batch = "Sqls" in given
        texts = given["Sqls"] if batch else [given["Sql"]]
        if not 1 <= len(texts) <= MAX_STATEMENTS:
            raise Refused("ValidationException", f"Sqls: 1 to {MAX_STATEMENTS} statements, not {len(texts)}")
        if longest := next((text for text in texts if len(text.encode()) > MAX_STATEMENT_BYTES), None):
            raise Refused("ValidationException", f"Cannot process query string larger than 100kB: {longest[:80]}")
        wait = _seconds(given)
        said = json.dumps({name: given[name] for name in given if name != "WaitTimeSeconds"}, sort_keys=True)
        with self._lock:
            token = given.get("ClientToken") or new_id()
            before, identifier = self._tokens.get(token, ("", ""))
            request = self._statements.find(identifier)
            if request is None:
                request = _request(given, texts, batch=batch)
                if self._statements.active() >= self._active:
                    raise Refused(
                        "ActiveStatementsExceededException",
                        f"Active statements exceeded the allowed quota ({self._active}).",
                    )
                self._statements.start(request)
                self._tokens[token] = (said, request.id)
            elif before != said:
                raise Refused("ValidationException", f"the ClientToken {token} stands for another request")
        self._statements.wait(request, wait)
        return submitted(request)

    def _describe(self, given: Mapping[str, Any]) -> Answer:
        request, number = self._find(given)
        self._statements.wait(request, _seconds(given))
        return described(request, number)

    def _result(self, given: Mapping[str, Any]) -> Answer:
        request, number = self._find(given)
        self._statements.wait(request, _seconds(given))
        sub = request.subs[number - 1] if number else request.subs[0]
        if request.status != "FINISHED" or sub.results is None or (request.batch and not number):
            raise _gone("Query does not have result. Please check query status with DescribeStatement.", request.id)
        start = given.get("NextToken") or "0"
        if not start.isdecimal():
            raise Refused("ValidationException", f"{start!r} is no NextToken")
        records, following = pages(sub.results.records, self._page, int(start))
        answer: Answer = {
            "Records": records,
            "ColumnMetadata": sub.results.columns,
            "TotalNumRows": len(sub.results.records),
        }
        return {**answer, "NextToken": following} if following else answer

    def _cancel(self, given: Mapping[str, Any]) -> Answer:
        request, _ = self._find(given)
        if request.done:
            raise Refused(
                "ValidationException",
                f"Could not cancel a query that is already in {request.status} state with ID: {request.id}",
            )
        self._statements.cancel(request)
        return {"Status": True}

    def _list(self, given: Mapping[str, Any]) -> Answer:
        wanted = given.get("Status", "FINISHED")  # AWS: by default, only finished statements
        prefix = given.get("StatementName", "")
        found = [
            summary(request)
            for request in self._statements.every()
            if wanted in ("ALL", request.status) and request.name.startswith(prefix)
        ]
        start = int(given.get("NextToken") or 0)
        end = start + (given.get("MaxResults") or 100)
        answer: Answer = {"Statements": found[start:end]}
        return {**answer, "NextToken": str(end)} if end < len(found) else answer

    def _find(self, given: Mapping[str, Any]) -> tuple[Request, int]:
        """The request of an id, and which of its statements the id names; 0: none."""
        named = _ID.fullmatch(given.get("Id", ""))
        if named is None:
            raise Refused("ValidationException", f"{given.get('Id')!r} is no id of a statement")
        request = self._statements.find(named[1])
        number = int(named[2] or 0)
        if request is None or number > len(request.subs):
            raise _gone("Query does not exist.", given["Id"])
        return request, number


def _unknown(what: str) -> str:
    return f"{what}: not supported by AetherStream's stand-in for the Redshift Data API"


def _gone(message: str, identifier: str) -> Refused:
    return Refused("ResourceNotFoundException", message, ResourceId=identifier)


def _check_entered(given: Mapping[str, Any]) -> None:
    """AWS: which combinations of parameters say how the database is entered."""
    cluster, workgroup = given.get("ClusterIdentifier"), given.get("WorkgroupName")
    secret, user = given.get("SecretArn"), given.get("DbUser")
    wrong = ""
    if not given.get("Database"):
        wrong = "Database is required"
    elif bool(cluster) == bool(workgroup):
        wrong = "either ClusterIdentifier or WorkgroupName is required, not both"
    elif secret and user:
        wrong = "SecretArn and DbUser exclude each other"
    elif workgroup and user:
        wrong = "DbUser belongs to a cluster: of a workgroup, the IAM identity is the user"
    if wrong:
        raise Refused("ValidationException", wrong)


def _seconds(given: Mapping[str, Any]) -> float:
    seconds = given.get("WaitTimeSeconds", 0)
    if seconds and not 1 <= seconds <= MAX_WAIT:
        raise Refused("ValidationException", f"WaitTimeSeconds: 1 to {MAX_WAIT}, not {seconds}")
    return float(seconds)


def _request(given: Mapping[str, Any], texts: list[str], *, batch: bool) -> Request:
    values = {each["name"]: each["value"] for each in given.get("Parameters", ())}
    named: set[str] = set()
    subs = []
    for text in texts:
        try:
            sql, used = with_parameters(text, values)
        except StandInError as error:
            raise Refused("ValidationException", error.message) from error
        named.update(used)
        subs.append(Sub(text, sql))
    if spare := values.keys() - named:
        raise Refused("ValidationException", f"Parameters list contains unused parameters. Unused: {sorted(spare)}")
    return Request(
        new_id(),
        given["Database"],
        subs,
        batch,
        {name: given[name] for name in _ENTERED if name in given},
        name=given.get("StatementName", ""),
        parameters=given.get("Parameters", ()),
    )
