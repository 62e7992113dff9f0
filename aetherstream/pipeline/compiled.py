"""What of a pipeline needs imports and files to be checked: reference tables, steps, expressions, the validator."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import UnsetType

from aetherstream.errors import ConfigurationError
from aetherstream.pipeline.document import Document, read
from aetherstream.pipeline.loader import Pipeline, resolve
from aetherstream.pipeline.mistakes import Path as Place
from aetherstream.transforms.compiler import compile_steps, secret_names, table_columns
from aetherstream.transforms.expressions import Expression, ExpressionError, compile_expression
from aetherstream.transforms.mistakes import StepMistakes
from aetherstream.transforms.model import Step
from aetherstream.transforms.tables import Table
from aetherstream.transforms.transform import Transform
from aetherstream.transforms.validation import Validate, compile_validation


def transform_of(pipeline: Pipeline, tables: Mapping[str, Table], secrets: Mapping[str, str]) -> Transform:
    """Compile the steps of a pipeline.

    Raises:
        PipelineMistakes: with the lines of all steps at fault.
    """
    try:
        return compile_steps(pipeline.file.transforms, tables=tables, sinks=list(pipeline.sinks), secrets=secrets)
    except StepMistakes as error:
        document = read(pipeline.path, None)
        _note(error, document)
        document.raise_mistakes()
        raise


def validation_of(pipeline: Pipeline) -> Validate | None:
    """Compile the schema of a pipeline, if it has one.

    Raises:
        PipelineMistakes: it is not a schema, with the line that names it.
    """
    if pipeline.schema is None:
        return None
    try:
        return compile_validation(dict(pipeline.schema))
    except ConfigurationError as error:
        _say(pipeline, ("validate", "schema"), error)
        raise


def expression_of(pipeline: Pipeline, place: Place, text: str) -> Expression:
    """Compile an expression that stands at this place of the pipeline.

    Raises:
        PipelineMistakes: it is none, with its line.
    """
    try:
        return compile_expression(text)
    except ExpressionError as error:
        _say(pipeline, place, error)
        raise


def _say(pipeline: Pipeline, place: Place, error: ConfigurationError) -> None:
    document = read(pipeline.path, None)
    document.add(place, str(error))
    document.raise_mistakes()


def stand_in_secrets(steps: Sequence[Step]) -> dict[str, str]:
    """Return keys for the steps that want one from the environment, where only the form of their result matters."""
    return dict.fromkeys(secret_names(steps), "a stand-in for a secret key, as long as one")


def check(path: Path, env: Mapping[str, str]) -> Pipeline:
    """Load a pipeline and try all its parts. Tables in S3 are not read, and secrets need not be there.

    Raises:
        PipelineMistakes: everything that is wrong in the file, each with its line.
        ConfigurationError: the file can't be read.
    """
    document = read(path, env)
    pipeline = resolve(document, path, env)
    file = pipeline.file
    try:
        secrets = {**stand_in_secrets(file.transforms), **env}
        tables = _tables(pipeline, document)
        compile_steps(file.transforms, tables=tables, sinks=_sink_names(pipeline, document), secrets=secrets)
    except StepMistakes as error:
        _note(error, document)
    for place, text in _partition_expressions(pipeline):
        try:
            compile_expression(text)
        except ExpressionError as error:
            document.add(place, str(error))
    if pipeline.aggregates:
        from aetherstream.pipeline.declarations import note_mistakes

        note_mistakes(pipeline.aggregates, document)
    if pipeline.schema is not None:
        try:
            compile_validation(dict(pipeline.schema))
        except ConfigurationError as error:
            document.add(("validate", "schema"), str(error))
    document.raise_mistakes()
    return pipeline


def _note(error: StepMistakes, document: Document) -> None:
    for mistake in error.mistakes:
        document.add(("transforms", *mistake.path), mistake.message)


def _sink_names(pipeline: Pipeline, document: Document) -> list[str]:
    """The names that a route may send to, those of sinks that are wrong too; any name where there's no telling."""
    if document.pruned is None:
        return list(pipeline.sinks)
    names = document.pruned.names("sinks")
    return names if names is not None else list(_routed(pipeline.file.transforms))


def _routed(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        if not isinstance(step.route, UnsetType):
            yield from step.route.otherwise
            for case in step.route.cases:
                yield from case.to


def _tables(pipeline: Pipeline, document: Document) -> dict[str, Table]:
    columns = table_columns(pipeline.file.transforms)
    names = document.pruned.names("tables") if document.pruned else ()
    tables = {name: Table({}, columns.get(name, ()), "") for name in (columns if names is None else names)}
    for name, declared in pipeline.file.tables.items():
        uri = pipeline.table_uri(name)
        try:
            if not declared.remote:
                tables[name] = Table.parse(Path(uri).read_bytes(), declared.key, file=uri)
                continue
        except OSError as error:
            document.add(("tables", name, "file"), f"{uri} can't be read: {error.strerror}")
        except ConfigurationError as error:
            if not document.lost(("tables", name, "key")):
                document.add(("tables", name), str(error), on_key=True)
        # Not here, or broken and said so: the steps that read it are checked as if it had what they take.
        tables[name] = Table({}, columns.get(name, ()), "")
    return tables


def _partition_expressions(pipeline: Pipeline) -> Iterator[tuple[Place, str]]:
    for name, sink in pipeline.sinks.items():
        kind, objects = sink.objects or ("", None)
        for index, part in enumerate(objects.partition if objects else ()):
            if not isinstance(part.expr, UnsetType):
                yield ("sinks", name, kind, "partition", index, "expr"), part.expr
