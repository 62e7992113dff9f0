"""What the Data API tells of a request: when it is submitted, described and listed."""

from __future__ import annotations

from typing import Any

from aetherstream.local.redshift.statements import Request, Sub

Answer = dict[str, Any]


def submitted(request: Request) -> Answer:
    """The answer to ExecuteStatement and BatchExecuteStatement."""
    answer: Answer = {"Id": request.id, "CreatedAt": request.created, "Status": request.status, **request.said}
    if request.done:
        answer |= {"RedshiftPid": request.pid, "HasResultSet": _has_results(request.subs)}
    return answer


def described(request: Request, number: int = 0) -> Answer:
    """The answer to DescribeStatement: of the request, or of one of its statements, counted from 1."""
    chosen = [request.subs[number - 1]] if number else request.subs
    first = chosen[0]
    answer: Answer = {
        "Id": f"{request.id}:{number}" if number else request.id,
        "Status": first.status if number else request.status,
        "CreatedAt": request.created,
        "UpdatedAt": request.updated,
        "RedshiftPid": request.pid,
        "HasResultSet": _has_results(chosen),
        "ResultFormat": "JSON",
        "Duration": sum(map(_duration, chosen)),
        **{name: value for name, value in request.said.items() if name != "WorkgroupName" or value},
    }
    error = first.error if number else request.error
    if error:
        answer["Error"] = error
    if request.parameters:
        answer["QueryParameters"] = list(request.parameters)
    if request.batch and not number:
        answer["SubStatements"] = [_sub(request, at) for at in range(1, len(request.subs) + 1)]
        answer |= {"RedshiftQueryId": 0, "ResultRows": -1, "ResultSize": -1, "ExecutionMode": "TRANSACTION"}
    else:
        answer |= {"QueryString": first.text, **_counts(first)}
    return answer


def summary(request: Request) -> Answer:
    """How ListStatements shows a request."""
    answer: Answer = {
        "Id": request.id,
        "Status": request.status,
        "StatementName": request.name,
        "CreatedAt": request.created,
        "UpdatedAt": request.updated,
        "IsBatchStatement": request.batch,
        "ResultFormat": "JSON",
    }
    if request.batch:
        return {**answer, "QueryStrings": [sub.text for sub in request.subs]}
    return {**answer, "QueryString": request.subs[0].text}


def _sub(request: Request, number: int) -> Answer:
    sub = request.subs[number - 1]
    answer: Answer = {
        "Id": f"{request.id}:{number}",
        "Status": sub.status,
        "CreatedAt": request.created,
        "UpdatedAt": sub.ended or request.updated,
        "QueryString": sub.text,
        "HasResultSet": _has_results([sub]),
        "Duration": _duration(sub),
        **_counts(sub),
    }
    return {**answer, "Error": sub.error} if sub.error else answer


def _counts(sub: Sub) -> Answer:
    size = sub.results.size if sub.results else 0
    return {"RedshiftQueryId": sub.query, "ResultRows": sub.rows, "ResultSize": size}


def _has_results(subs: list[Sub]) -> bool:
    return any(sub.results is not None for sub in subs)


def _duration(sub: Sub) -> int:
    """Nanoseconds."""
    return round((sub.ended - sub.started) * 1e9) if sub.ended else -1
