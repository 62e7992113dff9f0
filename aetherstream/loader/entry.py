"""How a warehouse is entered: logins by secret, IAM or password, and the connection that they open.

The only module of the loader that asks AWS for credentials. What it is answered is kept until it expires or is refused,
so that a secret may be rotated, and a role's temporary user may end, while the loader runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.connection import Clock, Connect, Connection, WarehouseConnection, fields
from aetherstream.loader.failures import Lost, Refused
from aetherstream.warehouse.options import WarehouseOptions

if TYPE_CHECKING:
    from boto3 import Session

_log = logging.getLogger(__name__)

APPLICATION = "aetherstream-loader"
"""What `stv_sessions` and `sys_query_history` show."""
_BRIEF = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})
"""botocore waits for minutes by default."""
_TEMPORARY_SECONDS = 3600
"""AWS: credentials of GetCredentials and GetClusterCredentials last 900 to 3600 seconds."""
_EARLY_SECONDS = 120.0
"""They are asked for again so long before they expire."""
_FORBIDDEN = {
    *("AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "UnrecognizedClientException"),
    *("InvalidClientTokenId", "InvalidSignatureException", "ExpiredTokenException"),
    *("ResourceNotFoundException", "ClusterNotFound", "ClusterNotFoundFault", "UnsupportedOperation"),
    *("ValidationException", "InvalidParameterException", "InvalidRequestException", "DecryptionFailure"),
}
"""Codes that stay until somebody changes something."""
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Server refuses SSL")


@dataclass(frozen=True, slots=True)
class Login:
    """A user of the warehouse."""

    user: str
    password: str = field(repr=False)
    expires: float | None = None
    """Epoch seconds; None: never."""


class Logins(Protocol):
    """Where logins come from."""

    def get(self) -> Login:
        """Return a login that is not known to be expired. Raises Retryable, ConfigurationError."""

    def renew(self) -> bool:
        """The warehouse has refused the last one: see to it that the next is fresh; False: it can't be another."""


class Password:
    """`Logins` that stand in the pipeline's settings."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def get(self) -> Login:
        """See `Logins.get`."""
        return self._login

    def renew(self) -> bool:
        """See `Logins.renew`."""
        return False


class Fetched:
    """`Logins` that are asked for, and kept until they expire or are refused."""

    def __init__(self, fetch: Callable[[], Login], clock: Clock = time.time) -> None:
        """`fetch` raises Retryable, ConfigurationError; `clock`: epoch seconds."""
        self._fetch = fetch
        self._clock = clock
        self._login: Login | None = None
        self._fresh = False

    def get(self) -> Login:
        """See `Logins.get`."""
        kept = self._login
        if kept is not None and (kept.expires is None or self._clock() < kept.expires - _EARLY_SECONDS):
            self._fresh = False
            return kept
        self._login, self._fresh = self._fetch(), True
        return self._login

    def renew(self) -> bool:
        """See `Logins.renew`: what was fetched just now would be the same."""
        if self._login is None or self._fresh:
            return False
        self._login = None
        return True


def logins_of(options: WarehouseOptions, session: Session) -> Logins:
    """Return where the logins of a warehouse come from; nothing is asked yet.

    Raises ConfigurationError where the options lack something.
    """
    if options.auth == "password":
        if not options.username or not options.password:
            raise ConfigurationError("redshift: `auth: password` needs `username` and `password`")
        return Password(Login(options.username, options.password))
    if options.auth == "secret":
        if not options.secret:
            raise ConfigurationError("redshift: `auth: secret` needs `secret`, a Secrets Manager secret's ARN or name")
        return Fetched(_from_secret(options.secret, _client(session, "secretsmanager", options)))
    return Fetched(_from_iam(options, session))


def connector(
    options: WarehouseOptions, session: Session, logins: Logins | None = None, clock: Clock = time.monotonic
) -> Connect:
    """Return what makes connections to a warehouse; nothing is asked yet.

    Raises ConfigurationError where the options lack something, or would send a password in clear over a network.
    """
    if not options.tls and not _is_here(options.host):
        raise ConfigurationError(f"redshift: `tls: off` is for a warehouse on this machine, not for {options.host}")
    source = logins or logins_of(options, session)

    def connect(seconds: float) -> Connection:
        login = source.get()
        try:
            return _open(options, login, seconds, clock)
        except Refused as refused:
            if refused.kind != "login" or not source.renew():
                raise _entered(options, login, refused) from refused
        _log.info("the warehouse refused the login of %s: it is read again", login.user)
        login = source.get()
        try:
            return _open(options, login, seconds, clock)
        except Refused as refused:
            raise _entered(options, login, refused) from refused

    return connect


def _open(options: WarehouseOptions, login: Login, seconds: float, clock: Clock) -> Connection:
    # Here, and not at the top: commands that never load need not wait for it.
    from aetherstream.loader.driver import Driver

    began = clock()
    tls: dict[str, Any] = {"ssl": True, "sslmode": "verify-full"} if options.tls else {"ssl": False}
    try:
        driver = Driver(
            host=options.host,
            port=options.port,
            database=options.database,
            user=login.user,
            password=login.password,
            application_name=APPLICATION,
            timeout=max(seconds, 0.1),
            # Each statement is used once; the server would keep those that have names.
            max_prepared_statements=0,
            **tls,
        )
    except Exception as error:  # the driver raises many things besides its own
        answer = fields(error)
        if answer is not None:
            raise Refused(answer) from error
        why = _why(error)
        if any(word in why for word in _UNTRUSTED):
            raise ConfigurationError(
                f"redshift: {options.host}:{options.port} can't be trusted: {why}; the endpoint has to be named as its"
                " certificate names it"
            ) from error
        raise Lost(f"{options.host}:{options.port} can't be reached: {why}") from error
    made = WarehouseConnection(driver, clock)
    made.allow(seconds - (clock() - began))
    try:
        made.begin()
    except BaseException:
        made.close()
        raise
    return made


def _entered(options: WarehouseOptions, login: Login, refused: Refused) -> Exception:
    where = f"{options.host}:{options.port}/{options.database}"
    if refused.kind in ("login", "rights", "missing", "wrong"):
        return ConfigurationError(
            f"redshift: {where} refuses {login.user} (auth: {options.auth}): {refused.text}; look at the endpoint's"
            " database, and at the user's password and rights"
        )
    return Retryable(f"redshift: {where}: {refused.text}")


def _why(error: Exception) -> str:
    # The driver wraps what it met: ('communication error', OSError(...)).
    inner = [str(each) for each in error.args if each] or [type(error).__name__]
    return ": ".join(inner)[:500]


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _client(session: Session, service: Any, options: WarehouseOptions) -> Any:
    return session.client(service, region_name=options.region, config=_BRIEF)


def _from_secret(secret: str, client: Any) -> Callable[[], Login]:
    def fetch() -> Login:
        text = _asked(
            lambda: client.get_secret_value(SecretId=secret), f"secret {secret}", "secretsmanager:GetSecretValue"
        )
        try:
            found = orjson.loads(text["SecretString"])
            return Login(str(found["username"]), str(found["password"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"redshift: the secret {secret} is not the JSON that it has to be:"
                ' {"username": "...", "password": "..."}'
            ) from error

    return fetch


def _from_iam(options: WarehouseOptions, session: Session) -> Callable[[], Login]:
    if options.workgroup:
        serverless = _client(session, "redshift-serverless", options)
        call = lambda: serverless.get_credentials(  # noqa: E731
            workgroupName=options.workgroup, dbName=options.database, durationSeconds=_TEMPORARY_SECONDS
        )
        return lambda: _temporary(
            _asked(call, f"workgroup {options.workgroup}", "redshift-serverless:GetCredentials"), "dbUser", "dbPassword"
        )
    if not options.cluster:
        raise ConfigurationError("redshift: `auth: iam` needs `workgroup` (Serverless) or `cluster`")
    provisioned = _client(session, "redshift", options)
    common = {
        "ClusterIdentifier": options.cluster,
        "DbName": options.database,
        "DurationSeconds": _TEMPORARY_SECONDS,
    }
    if options.username:
        call = lambda: provisioned.get_cluster_credentials(DbUser=options.username, AutoCreate=False, **common)  # noqa: E731
        right = "redshift:GetClusterCredentials"
    else:
        call = lambda: provisioned.get_cluster_credentials_with_iam(**common)  # noqa: E731
        right = "redshift:GetClusterCredentialsWithIAM"
    return lambda: _temporary(_asked(call, f"cluster {options.cluster}", right), "DbUser", "DbPassword")


def _temporary(answer: dict[str, Any], user: str, password: str) -> Login:
    expires: datetime = answer.get("Expiration") or answer["expiration"]
    return Login(answer[user], answer[password], expires.timestamp())


def _asked(call: Callable[[], Any], what: str, right: str) -> Any:
    try:
        return call()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _FORBIDDEN:
            raise ConfigurationError(f"redshift: {what}: {error}; the function's role needs {right}") from error
        raise Retryable(f"redshift: {what}: {error}") from error
    except BotoCoreError as error:
        raise Retryable(f"redshift: {what}: {error}") from error
