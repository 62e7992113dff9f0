"""Where the manifests of loads are put, and removed when a load is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.errors import Retryable
from aetherstream.loader.parts import PutManifest, Staged
from aetherstream.warehouse.options import LoadTarget
from aetherstream.warehouse.sql import ObjectRef, manifest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from aetherstream.delivery.put import ObjectStore


class Remove(Protocol):
    """Removes an object."""

    def __call__(self, place: ObjectRef, /) -> None:
        """Raises Retryable where it is left as it is."""


class Manifests:
    """The manifests of one load: one for each time that the load is tried."""

    def __init__(self, target: LoadTarget, load: str, store: ObjectStore, remove: Remove) -> None:
        """`load`: the load's id."""
        self._target = target
        self._load = load
        self._store = store
        self._remove = remove
        self._written: list[ObjectRef] = []

    @property
    def put(self) -> PutManifest:
        """What writes one."""
        return self._put

    def _put(self, objects: Sequence[Staged], /) -> ObjectRef:
        key = f"{self._target.manifests}/{self._load}-{len(self._written) + 1}.manifest"
        place = ObjectRef(self._target.staging.bucket, key)
        self._written.append(place)
        self._store.overwrite(place.bucket, place.key, manifest([each.ref for each in objects]), {})
        return place

    def clear(self) -> None:
        """Remove them, as far as that works: a lifecycle rule removes the others."""
        for place in self._written:
            try:
                self._remove(place)
            except Retryable:
                return


def remover(client: S3Client) -> Remove:
    """Remove objects from S3."""

    def remove(place: ObjectRef, /) -> None:
        try:
            client.delete_object(Bucket=place.bucket, Key=place.key)
        except (ClientError, BotoCoreError) as error:
            raise Retryable(f"{place.url}: {error}") from error

    return remove
