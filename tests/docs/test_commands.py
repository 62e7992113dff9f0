"""Commands in the documentation exist: targets of make, commands and options of `aetherstream`, parameters of sam."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from aetherstream.cli import COMMANDS, main
from tests.deployment.cloudformation import load_template
from tests.docs.markdown import ROOT, blocks, name, pages, spans

SHELL = {"sh", "console"}
OTHERS = {"echo", "eval", "grep", "jq", "printf", "export"}
SAM = {"build", "deploy", "validate", "delete", "local"}


def commands(page: Path) -> Iterator[list[str]]:
    """Each command of the shell blocks as its words; in the prose those of ours."""
    for span in spans(page):
        if span.startswith(("make ", "aetherstream ")):
            yield shlex.split(span)
    for block in blocks(page):
        if block.kind not in SHELL:
            continue
        text = re.sub(r"\s+#.*$", "", block.text, flags=re.MULTILINE).replace("\\\n", " ")
        lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;\n")
        lexer.commenters = ""
        lexer.whitespace = " \t"
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "\n"]:
            if set(word) <= set("|&;\n"):
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def wrong(words: list[str]) -> str | None:
    """Why a command can't be right; None where nothing is found."""
    program, *arguments = words
    match program:
        case "make":
            return _make(arguments)
        case "aetherstream":
            return _aetherstream(arguments)
        case "sam":
            return _sam(arguments)
        case "python" if arguments[0] == "-m":
            return None if find_spec(arguments[1]) else f"there is no module {arguments[1]}"
        case "python" | ".":
            return None
    return None if program in OTHERS else f"unknown program {program}"


def _make(arguments: list[str]) -> str | None:
    makefile = (ROOT / "Makefile").read_text()
    for argument in arguments:
        variable = re.match(r"([A-Z]+)=", argument)
        pattern = rf"^{variable[1]} *\?=" if variable else rf"^{re.escape(argument)}:"
        if not re.search(pattern, makefile, re.MULTILINE):
            return f"the Makefile has no {argument}"
    return None


def _aetherstream(arguments: list[str]) -> str | None:
    command: click.Command = main
    for argument in arguments:
        if isinstance(command, click.Group) and not argument.startswith("-"):
            found = command.get_command(click.Context(command), argument)
            if found is None:
                return f"there is no command {argument}"
            command = found
        elif re.match(r"--?[a-z]", argument):
            known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
            if argument.partition("=")[0] not in known:
                return f"{command.name} has no option {argument}"
    return None


def _sam(arguments: list[str]) -> str | None:
    if arguments[0] not in SAM:
        return f"sam has no {arguments[0]}"
    parameters = load_template()["Parameters"]
    for argument in arguments:
        overridden = re.match(r"([A-Z]\w+)=", argument)
        if overridden and overridden[1] not in parameters:
            return f"the template has no parameter {overridden[1]}"
    if "--config-env" in arguments:
        environment = arguments[arguments.index("--config-env") + 1]
        if environment not in tomllib.loads((ROOT / "samconfig.toml").read_text()):
            return f"samconfig.toml has no environment {environment}"
    return None


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_command_exists(page: Path) -> None:
    assert [(" ".join(words), why) for words in commands(page) if (why := wrong(words))] == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("make demos", "the Makefile has no demos"),
        ("make demo M=1", "the Makefile has no M=1"),
        ("aetherstream chek", "there is no command chek"),
        ("aetherstream run --evnt x", "run has no option --evnt"),
        ("aetherstream local up --detatch", "up has no option --detatch"),
        ("sam deploy --parameter-overrides Shards=1", "the template has no parameter Shards"),
        ("sam deploy --config-env staging", "samconfig.toml has no environment staging"),
        ("python -m scripts.nothing", "there is no module scripts.nothing"),
        ("docker run", "unknown program docker"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, why: str) -> None:
    assert wrong(command.split()) == why


def test_the_readme_begins_with_the_two_commands() -> None:
    first = next(iter(blocks(ROOT / "README.md")))
    assert [line.split("#")[0].strip() for line in first.text.splitlines()] == ["make demo", "make test"]


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    assert [command for command in COMMANDS if f"## `aetherstream {command}`" not in page] == []


def test_every_make_target_of_a_developer_is_documented() -> None:
    targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert [target for target in targets if f"make {target}" not in page and target not in {"help", "clean"}] == []
