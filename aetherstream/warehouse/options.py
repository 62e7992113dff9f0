"""Everything that loads into one table are made from, as plain values: what a pipeline file comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from aetherstream.objects import Compression, Target, is_named_by_bytes, name_of
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.sql import Style

Auth = Literal["secret", "iam", "password"]
Through = Literal["connection", "data_api"]
Changes = Literal["apply", "check"]


@dataclass(frozen=True, slots=True)
class WarehouseOptions:
    """Where a warehouse is, and how it is entered."""

    host: str
    database: str
    port: int = 5439
    """Redshift's own."""
    auth: Auth = "secret"
    secret: str | None = None
    """secret: ARN or name of a Secrets Manager secret with `username` and `password`, as Redshift keeps them."""
    username: str | None = None
    """password: the user; iam with a cluster: the database user whose rights the role borrows, None: the role's own."""
    password: str | None = field(default=None, repr=False)
    workgroup: str | None = None
    """Of Redshift Serverless; iam and the Data API name either this or"""
    cluster: str | None = None
    """the identifier of a provisioned cluster."""
    region: str | None = None
    """None: the session's."""
    tls: bool = True
    """Off for a server on this machine alone."""


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """One table that is loaded into, of a Redshift sink or of an aggregate's results, as the loader sees it."""

    sink: str
    """Name of the sink in the pipeline file; of a place of results `aggregates.<aggregate>.to.<sink>`."""
    contract: Contract
    staging: Target
    """Where the objects are put that are to be loaded."""
    warehouse: WarehouseOptions
    compression: Compression = "gzip"
    copy_role: str | None = None
    """ARN of the role that COPY reads with; several with commas between are a chain; None: the warehouse's default."""
    bucket_region: str | None = None
    """Of the bucket, where it is not the warehouse's."""
    style: Style = "merge"
    through: Through = "connection"
    changes: Changes = "apply"
    """Whether the loader makes what the table lacks of its contract, or only says so and waits."""
    objects: int = 500
    """Most objects of one load."""
    final_at_once: bool = False
    """Whether nobody changes an object once it stands, as it is named by its bytes: results of aggregates. Others
    belong to a shard, whose progress item tells."""

    def shard_of(self, key: str) -> str | None:
        """The shard that an object's key names, empty where it belongs to none; None: no object is named so."""
        if self.final_at_once:
            return "" if is_named_by_bytes(self.staging, key) else None
        name = name_of(self.staging, key)
        return None if name is None else name.shard

    @property
    def manifests(self) -> str:
        """Prefix of the manifests: not below that of the objects, so that none is taken for one."""
        return f"{self.staging.prefix}.manifests"
