"""Everything that one OpenSearch sink is made from, as plain values: what the pipeline file comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from aetherstream.sinks.opensearch.template import IndexSpec

Auth = Literal["none", "basic", "es", "aoss"]


@dataclass(frozen=True, slots=True)
class OpenSearchOptions:
    """One sink: where it is, how it is entered, what its indices are, how much it is sent at once."""

    name: str
    """Name of the sink in the pipeline file."""
    endpoint: str
    """`https://host[:port][/prefix]`, or `http://`."""
    spec: IndexSpec
    auth: Auth = "none"
    secret: str | None = None
    """basic: ARN or name of a Secrets Manager secret with `username` and `password`."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    region: str | None = None
    """es, aoss: the region that requests are signed for; None: the session's."""
    documents: int = 2000
    """Most documents of one request."""
    bytes: int = 5_000_000
    """About the most bytes of one request; a larger document goes alone."""
    parallel: int = 4
    """Most requests at once."""
    compress: bool = False
    """Whether requests are compressed on the wire."""
