"""`aetherstream check`, `explain`, `test` and `schema`: everything about pipeline files that needs no AWS."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from aetherstream.errors import AetherStreamError, UsageError
from aetherstream.pipeline import Pipeline, load
from aetherstream.pipeline.loader import BUCKET_VARIABLE

STAND_INS = {BUCKET_VARIABLE: "the-bucket-of-the-stack"}
"""What the template sets by itself; a check on a developer's machine goes without."""

_FILE = click.Path(path_type=Path, dir_okay=False)


def environment(given: tuple[str, ...], of_file: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables for `${NAME}`: `--env` before a test file's, the shell's and the stand-ins."""
    pairs = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"--env {item}: write NAME=VALUE")
        pairs[name] = value
    return {**STAND_INS, **os.environ, **(of_file or {}), **pairs}


def importable() -> None:
    """Let `module:function` steps be found from the folder where the command is called, as on Lambda."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)


env_option = click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="A variable for ${NAME}.")


@click.command(short_help="Check pipeline files; name every mistake.")
@click.argument("files", nargs=-1, type=_FILE)
@env_option
def check(files: tuple[Path, ...], env: tuple[str, ...]) -> None:
    """Check pipeline files (by default pipelines/*.yaml) and name every mistake with its line.

    References, expressions, Python steps, schemas, reference tables and the tests beside a file are checked too.
    Reference tables in S3 are not read.
    """
    from aetherstream.pipeline.compiled import check as check_file
    from aetherstream.pipeline.explain import notes, warnings

    importable()
    variables = environment(env)
    wrong = 0
    for file in files or pipeline_files():
        try:
            pipeline = check_file(file, variables)
            click.echo(f"{file}: ok{_cases_checked(pipeline)}")
            for note in notes(pipeline):
                click.echo(f"  {note}")
            for warning in warnings(pipeline):
                click.echo(f"  warning: {warning}")
        except AetherStreamError as error:
            click.echo(f"Error: {error}", err=True)
            wrong += 1
    if wrong:
        sys.exit(2)


@click.command(short_help="Print what a pipeline does, in words.")
@click.argument("file", type=_FILE, required=False)
@env_option
def explain(file: Path | None, env: tuple[str, ...]) -> None:
    """Print the plan of a pipeline in words, and what is doubtful about it."""
    from aetherstream.pipeline.explain import explain as plan

    click.echo(plan(load(file or only_pipeline(), environment(env))), nl=False)


@click.command(short_help="Run the tests beside a pipeline.")
@click.argument("file", type=_FILE, required=False)
@click.option("--case", "names", multiple=True, metavar="NAME", help="Run only the case of this name.")
@env_option
def test(file: Path | None, names: tuple[str, ...], env: tuple[str, ...]) -> None:
    """Run the cases beside a pipeline (flights.test.yaml for flights.yaml).

    Each goes through the code that runs on Lambda: decode, validate, transform, event time. Exit code 1 if one fails.
    """
    from aetherstream.commands.core import core_runner
    from aetherstream.pipeline.cases import cases_path, check_sinks, load_cases, run_cases
    from aetherstream.transforms.mistakes import nearest

    importable()
    file = file or only_pipeline()
    cases = load_cases(cases_path(file))
    variables = environment(env, cases.env)
    pipeline = load(file, variables)
    check_sinks(cases_path(file), cases, pipeline)
    for name in names:
        if name not in {case.name for case in cases.cases}:
            known = [case.name for case in cases.cases]
            raise UsageError(f"{cases_path(file)} has no case {name!r}{nearest(name, known)}")
    chosen = [case for case in cases.cases if not names or case.name in names]
    failed = 0
    for result in run_cases(pipeline, chosen, core_runner(pipeline, variables)):
        click.echo(f"{'FAILED' if result.differences else 'ok    '}  {result.case}")
        for line in result.differences:
            click.echo(f"        {line}")
        failed += bool(result.differences)
    click.echo(f"{len(chosen) - failed} passed, {failed} failed")
    if failed:
        sys.exit(1)


@click.command(short_help="Print the JSON Schema of pipeline files.")
@click.option("--markdown", "form", flag_value="markdown", help="The reference page instead.")
@click.option("--tests", "form", flag_value="tests", help="The schema of the tests beside a pipeline.")
def schema(form: str | None) -> None:
    """Print the JSON Schema of pipeline files, for editors; or the reference page that is generated from it."""
    from aetherstream.pipeline.reference import markdown
    from aetherstream.pipeline.schema import cases_schema, json_schema

    if form == "markdown":
        click.echo(markdown(), nl=False)
    else:
        click.echo(json.dumps(cases_schema() if form == "tests" else json_schema(), indent=2))


def pipeline_files() -> list[Path]:
    """Return the pipeline files of this project: pipelines/*.yaml without their tests."""
    found = [path for path in sorted(Path("pipelines").glob("*.y*ml")) if not path.stem.endswith(".test")]
    if not found:
        raise UsageError("there is no pipelines/*.yaml here; name a pipeline file, or call this where the project is")
    return found


def only_pipeline() -> Path:
    """Return the project's pipeline file, where it has just one."""
    found = pipeline_files()
    if len(found) > 1:
        raise UsageError(f"which pipeline? There are {', '.join(str(path) for path in found)}")
    return found[0]


def _cases_checked(pipeline: Pipeline) -> str:
    from aetherstream.pipeline.cases import cases_path, check_sinks, load_cases

    path = cases_path(pipeline.path)
    if not path.exists():
        return ""
    cases = load_cases(path)
    check_sinks(path, cases, pipeline)
    return f", {len(cases.cases)} test case{'' if len(cases.cases) == 1 else 's'}"
