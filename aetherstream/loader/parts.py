"""What the parts of a load agree on: the objects, the ledger, and what a warehouse does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from aetherstream.objects import Compression
from aetherstream.warehouse.ddl import Differences
from aetherstream.warehouse.sql import ObjectRef


@dataclass(frozen=True, slots=True)
class Staged:
    """An object that no attempt will change any more, and that holds rows."""

    bucket: str
    key: str
    etag: str
    """Without the quotes that S3 puts around it."""
    rows: int | None = None
    """How many its metadata say; None where they don't."""

    @property
    def location(self) -> str:
        """`bucket/key`, as the ledger names it."""
        return f"{self.bucket}/{self.key}"

    @property
    def compression(self) -> Compression:
        """As its key says; that of the pipeline may be another one by now."""
        return "zstd" if self.key.endswith(".zst") else "gzip"

    @property
    def ref(self) -> ObjectRef:
        """As a manifest names it."""
        return ObjectRef(self.bucket, self.key)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger: what became of an object."""

    location: str
    etag: str
    state: Literal["loaded", "failed"]
    """`failed`: set aside, and not loaded until somebody says so."""
    load: str
    """Id of the load that wrote the row."""
    at: float
    """Epoch seconds, by the warehouse's clock."""
    rows: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Detail:
    """Why Redshift refused a row (`sys_load_error_detail`)."""

    location: str
    """`bucket/key` of the object."""
    message: str
    """Redshift's own words."""
    column: str = ""
    type: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else "unknown line"
        column = f", column {self.column}" + (f" ({self.type})" if self.type else "") if self.column else ""
        return f"{where}{column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Totals:
    """What the ledger says of a table as a whole."""

    loaded: int = 0
    """Objects."""
    rows: int = 0
    """Rows of these objects, as COPY counted them."""
    set_aside: int = 0
    """Objects."""
    last: float | None = None
    """When the latest object was loaded; epoch seconds, by the warehouse's clock."""


PutManifest = Callable[[Sequence[Staged]], ObjectRef]
"""Writes the manifest of a load and says where; raises Retryable."""


@dataclass(frozen=True, slots=True)
class Load:
    """One transaction that is to be made."""

    id: str
    """Stands in the ledger rows and in logs."""
    objects: tuple[Staged, ...]
    """Each once, and all of one compression: a COPY has one for all of them."""
    put_manifest: PutManifest
    """Called with those that the ledger does not know yet."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load came to."""

    fresh: frozenset[str] = frozenset()
    """Locations that were loaded now."""
    known: Mapping[str, Entry] = field(default_factory=dict)
    """By location: what the ledger knew already, loaded or set aside, and was left out."""
    rows: int = 0
    """Rows that COPY read."""
    waiting: str = ""
    """Not empty: the rest of the objects is being loaded, or waits for a load that runs; which, and since when."""


class CopyFailed(Exception):
    """The COPY of a load was refused for what stands in its objects, as far as Redshift tells; nothing was loaded."""

    def __init__(self, message: str, details: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        """Of the objects of this load; empty where Redshift has named none of them."""


class Warehouse(Protocol):
    """The table of one sink and its ledger.

    Every method raises Retryable where it may work later (no connection, a time-out, a conflict, an outcome that nobody
    knows) and ConfigurationError where a person has to change rights, roles, credentials or the table. Each returns
    before `seconds` have passed; what it began is then cancelled.
    """

    def load(self, load: Load, seconds: float, /) -> Loaded:
        """Load, in one transaction, those objects that the ledger does not know; and note them there.

        Twice is once: an outcome that nobody knows is settled by calling it again. Raises CopyFailed too.
        """

    def set_aside(self, failed: Mapping[Staged, str], load: str, seconds: float, /) -> None:
        """Note objects as failed, each with the reason; those that the ledger knows already are left as they are."""

    def failures(self, seconds: float, /) -> list[Entry]:
        """Return the objects that were set aside, the latest first."""

    def forget(self, locations: Collection[str], seconds: float, /) -> int:
        """Take objects that were set aside out of the ledger, so that they are loaded when they are announced again.

        Returns how many there were; rows of loaded objects stay.
        """

    def known(self, locations: Collection[str], seconds: float, /) -> dict[str, Entry]:
        """Return what the ledger says of these objects."""

    def totals(self, seconds: float, /) -> Totals:
        """Count what the ledger has; nothing where there is no ledger yet."""

    def compare(self, seconds: float, /) -> Differences:
        """Compare the table with its contract; where there is no ledger, making it is among the changes."""

    def apply(self, found: Differences, seconds: float, /) -> list[str]:
        """Make the changes of `compare` (not where there are refusals), and return what was done, for a person."""

    def close(self) -> None:
        """Give up what is held open; whatever is asked next makes it again."""
