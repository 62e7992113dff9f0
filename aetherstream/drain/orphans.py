"""Spills that nobody drains: of a sink that was taken out of the pipeline file, or that spills no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from aetherstream.delivery.reader import ObjectReader
from aetherstream.objects import EMPTY, Target


def orphans(reader: ObjectReader, bucket: str, pipeline: str, drained: Iterable[Target]) -> dict[str, int]:
    """Look below the default place of spills for objects that no drained spill has; by prefix, how many.

    Raises like `ObjectReader.list`.
    """
    root = f"{pipeline}/spill/"
    known = tuple(f"{target.prefix}/" for target in drained if target.bucket == bucket)
    found: Counter[str] = Counter()
    for listed in reader.list(bucket, root):
        if listed.size > EMPTY and not listed.key.startswith(known):
            sink, slash, _ = listed.key.removeprefix(root).partition("/")
            found[f"s3://{bucket}/{root}{sink}{slash}"] += 1
    return dict(sorted(found.items()))
