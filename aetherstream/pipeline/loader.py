"""From a pipeline file to a `Pipeline`, checked as far as that is cheap enough for a cold start."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, UnsetType, structs
from msgspec import field as struct_field

from aetherstream.errors import ConfigurationError
from aetherstream.pipeline.checks import check_meaning
from aetherstream.pipeline.convert import convert
from aetherstream.pipeline.document import Document, read
from aetherstream.pipeline.model import PipelineFile
from aetherstream.pipeline.model_aggregates import DeclaredAggregate
from aetherstream.pipeline.model_outage import BreakerRules, DrainRules, SpillPlace
from aetherstream.pipeline.model_results import ResultPlace
from aetherstream.pipeline.model_sinks import QuarantineS3, Sink

BUCKET_VARIABLE = "AETHERSTREAM_BUCKET"
"""Variable that the template sets to its own data bucket."""
STAGING_VARIABLE = "AETHERSTREAM_REDSHIFT_STAGING"
"""Variable that the template sets to the prefix below which new objects of that bucket are announced to the loader."""


class Pipeline(Struct, frozen=True, kw_only=True):
    """A loaded pipeline: what the file says, with its defaults and the files beside it resolved."""

    file: PipelineFile
    """The file's content as written (after `${...}`), without passwords."""
    path: Path
    """The file."""
    schema: Mapping[str, Any] | None
    """The JSON Schema of `validate`."""
    sinks: Mapping[str, Sink]
    """By name, those that are switched off too. An S3 sink has its prefix, a Redshift sink that of
    its staging; an OpenSearch sink its spill's place and the rules of its breaker and drain (none with `on_outage:
    block`). Endpoints may be empty.
    """
    quarantine: QuarantineS3
    """With bucket and prefix."""
    aggregates: Mapping[str, DeclaredAggregate] = struct_field(default_factory=dict)
    """By name; a place of results that writes objects has its prefix."""

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return self.file.pipeline

    @property
    def switched_off(self) -> list[str]:
        """Names of the sinks that get nothing, because they are optional and the environment names no endpoint."""
        return [name for name, sink in self.sinks.items() if sink.is_off]

    @property
    def base(self) -> Path:
        """Folder that relative paths in the file start from."""
        return self.path.parent

    def table_uri(self, name: str) -> str:
        """Return where a reference table is: a path of this machine, or `s3://bucket/key`."""
        table = self.file.tables[name]
        return table.file if table.remote else str(self.base / table.file)


def load(path: Path, env: Mapping[str, str]) -> Pipeline:
    """Load a pipeline file, with `${NAME}` filled in from `env`.

    Raises:
        PipelineMistakes: everything that is wrong in the file, each with its line.
        ConfigurationError: the file can't be read.
    """
    document = read(path, env)
    pipeline = resolve(document, path, env)
    document.raise_mistakes()
    return pipeline


def resolve(document: Document, path: Path, env: Mapping[str, str]) -> Pipeline:
    """Make a `Pipeline` of a document that was read, and note in the document what is wrong with it.

    Where mistakes are noted, the `Pipeline` is what is left without them: for finding more of them, not to be run.
    Raises `PipelineMistakes` where nothing is left.
    """
    file = convert(document, PipelineFile)
    if document.mistakes:
        file = _sound(document)
    if file is None:
        document.raise_mistakes()
        raise ConfigurationError(f"{path}: is no pipeline")
    schema = _schema(file, path.parent, document)
    quarantine = _quarantine(file, env, document)
    sinks = _sinks(file, quarantine)
    aggregates = {name: _aggregate(name, declared, file.pipeline, sinks) for name, declared in file.aggregates.items()}
    check_meaning(file, sinks, quarantine, aggregates, document)
    if announced := env.get(STAGING_VARIABLE):
        from aetherstream.pipeline.checks_redshift import check_announced

        check_announced(sinks, aggregates, env.get(BUCKET_VARIABLE, ""), announced, document)
    return Pipeline(
        file=_without_passwords(file),
        path=path,
        schema=schema,
        sinks=sinks,
        quarantine=quarantine,
        aggregates=aggregates,
    )


def _sound(document: Document) -> PipelineFile | None:
    # Imported here: a file without mistakes, which is what a cold start reads, has no use for it.
    from aetherstream.pipeline.prune import Pruned

    if not isinstance(document.value, dict):
        return None
    document.pruned = Pruned(document.value, document.mistakes)
    return document.pruned.file()


def _sinks(file: PipelineFile, quarantine: QuarantineS3) -> dict[str, Sink]:
    return {name: _sink(file.pipeline, name, sink, quarantine) for name, sink in file.sinks.items()}


def _sink(pipeline: str, name: str, sink: Sink, quarantine: QuarantineS3) -> Sink:
    if not isinstance(sink.s3, UnsetType):
        sink = structs.replace(sink, s3=structs.replace(sink.s3, prefix=sink.s3.prefix or f"{pipeline}/{name}"))
    if not isinstance(sink.redshift, UnsetType):
        table = sink.redshift
        sink = structs.replace(
            sink,
            redshift=structs.replace(
                table, endpoint=(table.endpoint or "").strip(), prefix=table.prefix or f"{pipeline}/staging/{name}"
            ),
        )
    if isinstance(sink.opensearch, UnsetType):
        return sink
    search = structs.replace(sink.opensearch, endpoint=(sink.opensearch.endpoint or "").strip().rstrip("/"))
    if search.on_outage == "spill":
        place = search.spill or SpillPlace()
        search = structs.replace(
            search,
            breaker=search.breaker or BreakerRules(),
            drain=search.drain or DrainRules(),
            spill=SpillPlace(
                bucket=place.bucket or quarantine.bucket, prefix=place.prefix or f"{pipeline}/spill/{name}"
            ),
        )
    return structs.replace(sink, opensearch=search)


def _aggregate(name: str, declared: DeclaredAggregate, pipeline: str, sinks: Mapping[str, Sink]) -> DeclaredAggregate:
    places = {sink: _place(name, sink, place, pipeline, sinks) for sink, place in declared.to.items()}
    return structs.replace(declared, to=places)


def _place(aggregate: str, sink: str, place: ResultPlace, pipeline: str, sinks: Mapping[str, Sink]) -> ResultPlace:
    kind, objects = (sinks[sink].objects if sink in sinks else None) or ("", None)
    if objects is None or not isinstance(place.prefix, UnsetType):
        return place
    if kind == "s3":
        return structs.replace(place, prefix=f"{pipeline}/results/{aggregate}/{sink}")
    # Beside what the sink stages itself: the loader hears of both.
    return structs.replace(place, prefix=f"{objects.prefix}.results/{aggregate}")


def _without_passwords(file: PipelineFile) -> PipelineFile:
    # What is made from the file, its version above all, must not follow from a password.
    return structs.replace(file, sinks={name: _without_password(sink) for name, sink in file.sinks.items()})


def _without_password(sink: Sink) -> Sink:
    if not isinstance(sink.opensearch, UnsetType) and sink.opensearch.password:
        return structs.replace(sink, opensearch=structs.replace(sink.opensearch, password=None))
    if not isinstance(sink.redshift, UnsetType) and sink.redshift.password:
        return structs.replace(sink, redshift=structs.replace(sink.redshift, password=None))
    return sink


def _quarantine(file: PipelineFile, env: Mapping[str, str], document: Document) -> QuarantineS3:
    prefix = f"{file.pipeline}/quarantine"
    if not isinstance(file.quarantine, UnsetType):
        return structs.replace(file.quarantine.s3, prefix=file.quarantine.s3.prefix or prefix)
    bucket = env.get(BUCKET_VARIABLE, "")
    if not bucket and not document.lost(("quarantine",)):
        document.add(
            (),
            f"has no quarantine, and the environment no {BUCKET_VARIABLE} for its default; give quarantine.s3.bucket",
        )
    return QuarantineS3(bucket=bucket, prefix=prefix)


def _schema(file: PipelineFile, base: Path, document: Document) -> Mapping[str, Any] | None:
    if isinstance(file.validate, UnsetType):
        return None
    if isinstance(file.validate.schema, dict):
        return file.validate.schema
    name, at = file.validate.schema, ("validate", "schema")
    try:
        schema = json.loads((base / name).read_bytes())
    except OSError as error:
        document.add(at, f"{base / name} can't be read: {error.strerror}{_near(base / name)}")
    except ValueError as error:
        document.add(at, f"{base / name} is no JSON: {error}")
    else:
        if isinstance(schema, dict):
            return schema
        document.add(at, f"{base / name} is no JSON Schema: expected an object")
    return None


def _near(path: Path) -> str:
    from aetherstream.transforms.mistakes import nearest

    return (
        nearest(path.name, [entry.name for entry in path.parent.glob(f"*{path.suffix}")])
        if path.parent.is_dir()
        else ""
    )
