"""The two pipelines that `aetherstream shadow` compares, each in a process of its own.

A process each, because both may have modules of one name (`pipelines.steps`) with different content.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherstream.commands.deployed import Deployed
from aetherstream.errors import ConfigurationError, UsageError
from aetherstream.records import KinesisRecords
from aetherstream.recovery.shadow import Made, make

if TYPE_CHECKING:
    from aetherstream.core import Core

_core: list[Core] = []
"""In a process of a side: its pipeline."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a side says of its pipeline."""

    name: str
    targets: Mapping[str, str]
    """By sink: where its objects go."""


class Side:
    """A pipeline in a process of its own; a context manager that ends the process."""

    def __init__(self, root: Path, file: Path, variables: Mapping[str, str]) -> None:
        """`root`: the folder that `module:function` steps are found from; `file`: below it, or anywhere."""
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._opening = self._pool.submit(_open, str(root), str(file), dict(variables))

    def opened(self) -> Opened:
        """Wait until the pipeline is compiled. Raises ConfigurationError where it can't be."""
        answer = self._opening.result()
        if isinstance(answer, str):
            raise ConfigurationError(answer)
        return answer

    def make(self, batch: KinesisRecords) -> Future[Made]:
        """Begin to run records through the pipeline."""
        return self._pool.submit(_make, batch)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def _open(root: str, file: str, variables: dict[str, str]) -> Opened | str:
    """In the side's process: compile the pipeline; the text of what is wrong, because not every error travels."""
    from aetherstream.commands.core import fetch
    from aetherstream.compose import core_of, tables_of
    from aetherstream.pipeline import load
    from aetherstream.pipeline.compiled import stand_in_secrets

    sys.path.insert(0, root)
    try:
        pipeline = load(Path(file), variables)
        secrets = {**stand_in_secrets(pipeline.file.transforms), **variables}
        core = core_of(pipeline, tables_of(pipeline, fetch), secrets)
    except (ConfigurationError, UsageError) as error:
        return str(error)
    _core[:] = [core]
    targets = {sink.name: f"s3://{sink.target.bucket}/{sink.target.prefix}" for sink in core.sinks}
    return Opened(pipeline.name, targets | {place.name: "OpenSearch" for place in core.places})


def _make(batch: KinesisRecords) -> Made:
    from aetherstream.core import collector_paused

    with collector_paused():
        return make(_core[0], batch)


@dataclass(frozen=True, slots=True)
class DeployedPipeline:
    """The pipeline of a deployed function, as far as it was put on this machine."""

    root: Path
    file: Path
    variables: Mapping[str, str]
    """The function's environment."""


def download(stack: Deployed, into: Path) -> DeployedPipeline:
    """Fetch the `pipelines` folder of the deployed function's package. Raises UsageError where it can't be had."""
    from botocore.exceptions import BotoCoreError, ClientError

    name = stack.output("FunctionAliasArn")
    try:
        function: Any = stack.client("lambda").get_function(FunctionName=name)
        package = _read(function["Code"]["Location"])
    except (BotoCoreError, ClientError, OSError) as error:
        raise UsageError(
            f"the package of {name} can't be read ({error}): name the present file with --against"
        ) from error
    variables = function["Configuration"].get("Environment", {}).get("Variables", {})
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        members = [member for member in archive.namelist() if member.startswith("pipelines/")]
        archive.extractall(into, members)
    file = variables.get("AETHERSTREAM_PIPELINE", "")
    if not file or not (into / file).is_file():
        raise UsageError(
            f"the package of {name} has no pipeline file {file!r}: name the present one on this machine with --against"
        )
    return DeployedPipeline(into, into / file, variables)


def _read(url: str) -> bytes:
    from urllib.request import urlopen

    if not url.startswith(("https://", "http://")):
        raise OSError(f"the package stands at {url}")
    with urlopen(url, timeout=60) as answer:  # noqa: S310 - a presigned URL that Lambda gave
        body: bytes = answer.read()
    return body
