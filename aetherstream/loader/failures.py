"""What a warehouse's refusal means: to be tried again, to be told to a person, or the objects' own fault. Pure.

Redshift says most of it in words: SQLSTATE XX000 stands for conflicts, roles, S3 and rows alike, so the texts decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.ledger import LEDGER
from aetherstream.loader.parts import CopyFailed, Detail, Staged
from aetherstream.warehouse.contract import Contract

Kind = Literal["conflict", "cancelled", "rights", "login", "missing", "exists", "wrong", "busy"]
"""What became of a statement, by what to do about it. `wrong`: a person has to look; `busy`: it may work later."""

_CONFLICT = re.compile(
    # AWS: the message is the number alone, 1023 a conflict, 1018 a table that is newer than the transaction's snapshot.
    r"\A(ERROR:\s*)?(1023|1018)\b|serializable isolation violation|could not serialize|deadlock detected"
    r"|concurrent (update|transaction)|conflict with concurrent|snapshot.*conflict",
    re.IGNORECASE,
)
_CANCELLED = re.compile(r"statement timeout|cancell?(ed|ing) (on|due to|statement)", re.IGNORECASE)
_RIGHTS = re.compile(r"permission denied|must be owner|not authorized to perform|insufficient privilege", re.IGNORECASE)
_MISSING = re.compile(r"(relation|schema|column|table) .*does not exist|nonexistent table", re.IGNORECASE)
_EXISTS = re.compile(r"already exists", re.IGNORECASE)
_BY_CODE: Mapping[str, Kind] = {
    "40001": "conflict",
    "40P01": "conflict",
    "57014": "cancelled",
    "42501": "rights",
    "42P01": "missing",
    "42703": "missing",
    "3F000": "missing",
    "3D000": "login",
    "42P06": "exists",
    "42P07": "exists",
    "42701": "exists",
    "23505": "exists",
}
_BY_CLASS: Mapping[str, Kind] = {"28": "login", "42": "wrong", "0A": "wrong", "22": "wrong", "23": "wrong"}

# Of a COPY. First what a later attempt may find better.
_SERVICE = re.compile(
    r"Status 5\d\d|SlowDown|InternalError|S3CurlException|RequestTimeout|ServiceUnavailable|ExpiredToken|timed? ?out",
    re.IGNORECASE,
)
_ACCESS = re.compile(
    r"Status 403|Access ?Denied|not authorized|InvalidAccessKeyId|SignatureDoesNotMatch|AllAccessDisabled"
    r"|NoSuchBucket|bucket does not exist|PermanentRedirect|Status 301|specified endpoint|wrong region"
    r"|\brole\b.*\b(not|no|invalid|default)\b|\b(invalid|default|assume)\b.*\brole\b|IAM_ROLE|authorization",
    re.IGNORECASE,
)
_MANIFEST = re.compile(r"manifest", re.IGNORECASE)
_LONGEST_FILE = 256
"""Redshift: `file_name` is char(256)."""


class Lost(Exception):
    """The connection is gone: what was under way may have been done, or not."""


class Refused(Exception):
    """The server's answer to a statement, which it has not carried out; the transaction is to be rolled back."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        """`fields`: those of the protocol's ErrorResponse, by their letters."""
        self.code = fields.get("C", "")
        """SQLSTATE."""
        self.message = fields.get("M", "")
        self.detail = fields.get("D", "")
        self.doing = ""
        """What the statement was for."""
        super().__init__(self.text)

    @property
    def text(self) -> str:
        """Everything that was said, on one line."""
        return " ".join(" ".join(filter(None, [self.message, self.detail])).split())[:2000]

    @property
    def kind(self) -> Kind:
        """What is to be done about it."""
        if _CONFLICT.search(self.text):
            return "conflict"
        if self.code in _BY_CODE:
            return _BY_CODE[self.code]
        for words, kind in _BY_WORDS:
            if words.search(self.text):
                return kind
        return _BY_CLASS.get(self.code[:2], "busy")


_BY_WORDS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (_CANCELLED, "cancelled"),
    (_RIGHTS, "rights"),
    (_MISSING, "missing"),
    (_EXISTS, "exists"),
)


def grants(contract: Contract) -> str:
    """What the loader's user needs, as a person would grant it."""
    schema, user = contract.schema, "<the loader's user>"
    tables = ", ".join(f"{schema}.{name}" for name in (contract.table, *LEDGER))
    return (
        f"GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {user};"
        f" the stage needs TEMP on the database; making and altering tables needs CREATE ON SCHEMA {schema} and their"
        " ownership"
    )


def translated(refused: Refused, contract: Contract, doing: str) -> Retryable | ConfigurationError:
    """The error that goes up, with what a person may do about it."""
    table = f"{contract.schema}.{contract.table}"
    said = f"{table}: {doing}: {refused.text} (SQLSTATE {refused.code or '?'})"
    match refused.kind:
        case "rights":
            return ConfigurationError(f"{said}; the loader's user lacks rights: {grants(contract)}")
        case "login":
            return ConfigurationError(f"{said}; look at the sink's endpoint, user and secret")
        case "missing":
            return ConfigurationError(
                f"{said}; `aetherstream redshift plan` says what the table lacks, `apply` makes it"
            )
        case "exists" | "wrong":
            return ConfigurationError(said)
        case "cancelled":
            return Retryable(f"{said}; it was cancelled because no time was left")
        case "conflict" | "busy":
            return Retryable(said)


def of_copy(refused: Refused, contract: Contract) -> Retryable | ConfigurationError | CopyFailed:
    """What the refusal of a COPY means; CopyFailed where it may be the objects' own fault, still without details."""
    if refused.kind in ("conflict", "cancelled", "rights", "missing"):
        return translated(refused, contract, "COPY")
    said = f"{contract.schema}.{contract.table}: COPY: {refused.text}"
    if _SERVICE.search(refused.text):
        return Retryable(said)
    if _ACCESS.search(refused.text):
        return ConfigurationError(
            f"{said}; the role of COPY has to be attached to the warehouse, and may read the bucket"
            " (s3:GetObject, s3:ListBucket, kms:Decrypt where it is encrypted so)"
        )
    if _MANIFEST.search(refused.message):
        return Retryable(said)
    if refused.kind == "wrong":
        return ConfigurationError(said)
    return CopyFailed(said)


Row = Sequence[object]


def details(rows: Iterable[Row], objects: Iterable[Staged]) -> list[Detail]:
    """Details of exactly these objects from rows of `sys_load_error_detail`.

    Each row: file, column, type, line, message. A file's name is cut to 256 bytes: one that may be several objects is
    nobody's.
    """
    urls = {staged.ref.url: staged.location for staged in objects}
    found = []
    for file, column, kind, line, message in rows:
        location = _location(_text(file), urls)
        if location is not None:
            number = int(str(line)) if line is not None and int(str(line)) > 0 else None
            found.append(Detail(location, _text(message) or "no reason given", _text(column), _text(kind), number))
    return found


def named(refused: Refused, objects: Iterable[Staged]) -> list[Detail]:
    """The object that the refusal itself names, as far as it is one."""
    said = f"{refused.message} {refused.detail}"
    found = [staged for staged in objects if re.search(rf"(?<![\w/.-]){re.escape(staged.ref.url)}(?![\w/.=%-])", said)]
    return [Detail(found[0].location, refused.text)] if len(found) == 1 else []


def _location(file: str, urls: Mapping[str, str]) -> str | None:
    if file in urls:
        return urls[file]
    if len(file.encode()) < _LONGEST_FILE - 3:
        return None
    fit = [location for url, location in urls.items() if url.startswith(file)]
    return fit[0] if len(fit) == 1 else None


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
