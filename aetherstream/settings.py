"""What the functions read from their environment; the only module that does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aetherstream.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a function."""

    pipeline: Path
    """The pipeline file."""
    progress_table: str | None
    """Name of the DynamoDB table of progress items; None only with `delivery: at_least_once` or in a dry run."""
    dry_run: bool
    """Deliver nothing, log what would be delivered."""
    tracing: bool
    """Whether each step of a batch is an X-Ray subsegment."""
    variables: Mapping[str, str]
    """The whole environment, for `${VAR}` in the pipeline file."""
    stream: str | None = None
    """ARN of the stream; only the recovery function, the loader, the emitter and the closer have it."""
    dead_letters: str | None = None
    """Bucket of the dead letters; only the recovery function has it."""
    function: str | None = None
    """Name of the stream function, whose dead letters these are; only the recovery function has it."""
    load_queue: str | None = None
    """URL of the queue of staged objects; only the loader has it."""
    load_dead_letters: str | None = None
    """URL of that queue's dead letters; only the loader has it."""
    state_table: str | None = None
    """Name of the DynamoDB table with the states of aggregates; None where a pipeline keeps none there."""
    single_writes: bool = False
    """Write states without PartiQL statements: for emulators whose table streams don't tell of them."""


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises ConfigurationError that names the variable."""
    pipeline = environ.get("AETHERSTREAM_PIPELINE")
    if not pipeline:
        raise ConfigurationError(
            "the environment variable AETHERSTREAM_PIPELINE is not set: it names the pipeline file, "
            "for example pipelines/flights.yaml"
        )
    return Settings(
        pipeline=Path(environ.get("LAMBDA_TASK_ROOT", "")) / pipeline,
        progress_table=environ.get("AETHERSTREAM_PROGRESS_TABLE") or None,
        dry_run=_is_on(environ.get("AETHERSTREAM_DRY_RUN")),
        tracing=_is_on(environ.get("AETHERSTREAM_TRACING")),
        variables=environ,
        stream=environ.get("AETHERSTREAM_STREAM") or None,
        dead_letters=environ.get("AETHERSTREAM_DEAD_LETTERS") or None,
        function=environ.get("AETHERSTREAM_FUNCTION") or None,
        load_queue=environ.get("AETHERSTREAM_LOAD_QUEUE") or None,
        load_dead_letters=environ.get("AETHERSTREAM_LOAD_DEAD_LETTERS") or None,
        state_table=environ.get("AETHERSTREAM_STATE_TABLE") or None,
        single_writes=_is_on(environ.get("AETHERSTREAM_SINGLE_WRITES")),
    )


def on_aws(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell AWS Lambda from the one-machine stack and from tests, which leave this variable alone.

    AWS: AWS_EXECUTION_ENV is the runtime identifier with the prefix `AWS_Lambda_`.
    """
    return environ.get("AWS_EXECUTION_ENV", "").startswith("AWS_Lambda_")


def _is_on(value: str | None) -> bool:
    return (value or "").lower() in {"1", "true", "yes"}
