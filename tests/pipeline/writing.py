"""Pipeline files for the tests: the smallest good one, and what is said about others."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from aetherstream.pipeline import Pipeline, PipelineMistakes, load

ENV = {"AETHERSTREAM_BUCKET": "data-bucket"}
ON = {
    **ENV,
    "AETHERSTREAM_OPENSEARCH_ENDPOINT": "https://search.example.org",
    "AETHERSTREAM_REDSHIFT_ENDPOINT": "host/dev",
    "AETHERSTREAM_REDSHIFT_SECRET": "s",
    "AETHERSTREAM_REDSHIFT_STAGING": "flights/staging/",
}
"""Where the sinks of the flights are all switched on."""

SINKS = """\
sinks:
  archive:
    s3: {bucket: data-bucket}
"""


def write(folder: Path, text: str, name: str = "p.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


def loaded(folder: Path, text: str, env: Mapping[str, str] = ENV) -> Pipeline:
    return load(write(folder, text), env)


def mistakes(folder: Path, text: str, env: Mapping[str, str] = ENV) -> list[tuple[str, str, str]]:
    """What is wrong with a file: (line:column, path, message)."""
    with pytest.raises(PipelineMistakes) as raised:
        loaded(folder, text, env)
    return [(f"{m.line}:{m.column}", m.path, m.message) for m in raised.value.mistakes]
