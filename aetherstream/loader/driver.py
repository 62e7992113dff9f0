"""redshift_connector's connection, with a limit that can be changed, and without a socket left by a failed login.

The only module that imports the driver, whose inside is reached for here alone. It costs 50 ms beside boto3: `scramp`,
`asn1crypto` and `packaging` come with it. The rest of its requirements is for identity providers and data frames.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redshift_connector.core import Connection


class Driver(Connection):
    """A connection of the driver. Raises whatever the driver does."""

    def __init__(self, **how: Any) -> None:
        try:
            super().__init__(**how)
        except BaseException:
            self.hang_up()
            raise

    def wait(self, seconds: float) -> None:
        """Wait no longer than this for the next bytes. The driver sets it once for a connection's whole life."""
        with suppress(OSError):
            self._usock.settimeout(seconds)

    def hang_up(self) -> None:
        """Close the socket without a word."""
        for name in ("_sock", "_usock"):
            with suppress(Exception):
                getattr(self, name).close()
