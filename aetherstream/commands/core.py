"""The pure part of a pipeline, as the commands run it: tables from this machine (or S3), no sinks."""

from collections.abc import Mapping
from pathlib import Path

from aetherstream.compose import core_of, tables_of
from aetherstream.encoded import EVENT_ID, IDENTITY, EncodedEvents, parsed
from aetherstream.errors import ConfigurationError, UsageError
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.cases import Made, RunCore
from aetherstream.pipeline.compiled import stand_in_secrets
from aetherstream.records import Events, KinesisRecords


def core_runner(pipeline: Pipeline, variables: Mapping[str, str]) -> RunCore:
    """Compile a pipeline once and return what runs records through it."""
    secrets = {**stand_in_secrets(pipeline.file.transforms), **variables}
    core = core_of(pipeline, tables_of(pipeline, fetch), secrets, aggregates=None)
    fold = None
    if pipeline.aggregates:
        from aetherstream.commands.folded import folding_of

        fold = folding_of(pipeline)

    def run(_: Pipeline, records: KinesisRecords) -> Made:
        prepared = core.prepare(records, 0, len(records))
        results, refused = ({}, []) if fold is None else fold(records, prepared)
        events = _read_again(prepared.events, frozenset(pipeline.sinks))
        return Made(events, [*prepared.rejections, *refused], prepared.dropped, results)

    return run


def _read_again(encoded: EncodedEvents, sinks: frozenset[str]) -> Events:
    """The events of the lines that would be delivered, without the fields that delivery adds."""
    values = [parsed(encoded.line(index)) for index in range(len(encoded))]
    for value in values:
        value.pop(EVENT_ID)
        value.pop(IDENTITY, None)
    routes = [sinks if route is None else route for route in encoded.routes]
    return Events(values, encoded.records, encoded.subs, encoded.nths, routes)


def fetch(uri: str) -> bytes:
    """Read a reference table: a path of this machine, or `s3://bucket/key`."""
    if not uri.startswith("s3://"):
        try:
            return Path(uri).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{uri}: the reference table can't be read: {error.strerror}") from None
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:
        raise UsageError(f"{uri}: reading it needs boto3: pip install 'aetherstream[cli]'") from None
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        body: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"{uri}: the reference table can't be read: {error}") from None
    return body
