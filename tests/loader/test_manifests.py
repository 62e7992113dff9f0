import orjson
import pytest
from botocore.exceptions import ClientError

from aetherstream.errors import Retryable
from aetherstream.loader.manifests import Manifests, remover
from aetherstream.loader.parts import Staged
from aetherstream.testing import warehouse
from aetherstream.testing.stores import MemoryObjects
from aetherstream.warehouse.sql import ObjectRef
from tests.loader.world import BUCKET, target

OBJECTS = [Staged(BUCKET, "a", "e"), Staged(BUCKET, "b", "e")]


def manifests(objects: MemoryObjects) -> Manifests:
    return Manifests(target(), "load7", objects, warehouse.remover(objects))


def test_a_manifest_names_its_objects_and_stands_beside_their_prefix() -> None:
    objects = MemoryObjects()
    place = manifests(objects).put(OBJECTS)
    assert place == ObjectRef(BUCKET, "flights/staging/warehouse.manifests/load7-1.manifest")
    assert orjson.loads(objects.get(place.bucket, place.key) or b"") == {
        "entries": [{"url": f"s3://{BUCKET}/a", "mandatory": True}, {"url": f"s3://{BUCKET}/b", "mandatory": True}]
    }


def test_each_try_of_a_load_has_a_manifest_of_its_own() -> None:
    made = manifests(MemoryObjects())
    assert made.put(OBJECTS) != made.put(OBJECTS[:1])


def test_manifests_are_removed() -> None:
    objects = MemoryObjects()
    made = manifests(objects)
    made.put(OBJECTS)
    made.put(OBJECTS)
    made.clear()
    assert objects.objects == {}


def test_a_manifest_that_can_t_be_removed_is_left_without_a_word() -> None:
    def refuse(place: ObjectRef, /) -> None:
        raise Retryable("no")

    objects = MemoryObjects()
    made = Manifests(target(), "load7", objects, refuse)
    made.put(OBJECTS)
    made.clear()
    assert len(objects.objects) == 1


class Client:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[dict[str, str]] = []

    def delete_object(self, **request: str) -> None:
        self.asked.append(request)
        if self.error:
            raise self.error


def test_an_object_is_removed_from_s3() -> None:
    client = Client()
    remover(client)(ObjectRef("b", "k"))  # type: ignore[arg-type]
    assert client.asked == [{"Bucket": "b", "Key": "k"}]


def test_an_object_that_s3_keeps_is_told() -> None:
    client = Client(ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObject"))
    with pytest.raises(Retryable, match="s3://b/k"):
        remover(client)(ObjectRef("b", "k"))  # type: ignore[arg-type]
