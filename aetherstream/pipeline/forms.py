"""The forms that values of a pipeline file may have, each with the pattern that its JSON Schema states."""

from typing import Annotated

from msgspec import Meta

from aetherstream.pipeline import values

Size = Annotated[int, Meta(ge=1)] | Annotated[str, Meta(pattern=values.SIZE)]
Duration = Annotated[float, Meta(ge=0)] | Annotated[str, Meta(pattern=values.DURATION)]
Shift = float | Annotated[str, Meta(pattern=values.SHIFT)]
Instant = Annotated[str, Meta(pattern=values.INSTANT)]
FieldPath = Annotated[str, Meta(min_length=1)]
ExpressionText = Annotated[str, Meta(min_length=1)]
Bucket = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
"""AWS: bucket names have 3 to 63 characters, lower-case letters, digits, dots and hyphens."""
Prefix = Annotated[str, Meta(pattern=r"^[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*$", max_length=400)]
"""AWS: S3's "safe characters"; a key has at most 1024 bytes, the rest is left for partitions and the object's name."""
