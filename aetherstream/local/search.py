"""The OpenSearch of a one-machine stack, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aetherstream.errors import UsageError
from aetherstream.local.opensearch import LocalOpenSearch, existing_url
from aetherstream.local.wanted import OPENSEARCH


class Search:
    """An OpenSearch that was there, one started for the stack, or the reason why there is none."""

    def __init__(
        self,
        directory: Path,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.server: LocalOpenSearch | None = None
        """The one that was started."""
        self.missing = ""
        """Why there is none, in one line."""
        self._url = existing_url(environ)
        if self._url is None:
            self.server = LocalOpenSearch(directory, environ=environ, settings=settings, say=say)

    @property
    def url(self) -> str | None:
        """Where it answers; None when there is none."""
        return self.server.url if self.server is not None else self._url

    @property
    def parameters(self) -> dict[str, str]:
        """What the template is told of it."""
        return {OPENSEARCH.parameter: self.url, "OpenSearchAuth": "none"} if self.url else {}

    def launch(self) -> None:
        """Begin to start it. Where it can't be had, `missing` says why."""
        if self.server is not None:
            try:
                self.server.launch()
            except UsageError as error:
                self._give_up(self.server, error)

    def wait(self) -> None:
        """Wait until it takes documents. Where it does not come so far, `missing` says why."""
        if self.server is not None:
            try:
                self.server.wait()
            except UsageError as error:
                self._give_up(self.server, error)

    def stop(self) -> None:
        """Stop the one that was started, which takes its data along."""
        if self.server is not None:
            self.server.close()

    def _give_up(self, server: LocalOpenSearch, error: UsageError) -> None:
        server.close()
        self.server = None
        self.missing = str(error).partition("\n")[0].rstrip(":")
