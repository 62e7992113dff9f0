"""What the README and the guide show works: files pass the check, commands run and print what is printed there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml

from aetherstream.errors import ConfigurationError
from aetherstream.local.environment import credentials
from aetherstream.local.ministack import MiniStack
from aetherstream.pipeline.compiled import check
from demo.traffic import expectation
from tests.docs.markdown import ROOT, Block, blocks, guide, name

PRODUCE = ROOT / "docs/guide/produce.md"
STREAM = "my-stream"
KINDS = {"sh", "console", "text", "yaml", "python", "json", "toml", "sql"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a reader has, without what is theirs to change."""
    for folder in ("pipelines", "events"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AETHERSTREAM_", "AWS_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, "PATH": path, "COLUMNS": "120", **more}


def follow(page: Path, project: Path, env: dict[str, str]) -> None:
    """Do what the page says: write its files, run its commands, compare what they print."""
    todo = blocks(page)
    for block, after in zip(todo, [*todo[1:], None], strict=True):
        if block.file is not None:
            (project / block.file).write_text(block.text)
        elif block.kind == "sh":
            command = ["bash", "-euo", "pipefail", "-c", block.text]
            done = subprocess.run(
                command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            assert done.returncode == 0, f"{block}: {done.stdout}"
            if after is not None and after.kind == "text":
                printed = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
                shown = printed.replace("The objects are files below .aetherstream/run\n", "")
                assert matches(shown, after.text), f"{after}:\n{after.text}\nis not what was printed:\n{printed}"


def matches(printed: str, shown: str) -> bool:
    """Whether it is what is shown, where `…` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.rstrip("\n").split("…"))
    return re.fullmatch(pattern, printed.rstrip("\n"), re.DOTALL) is not None


@pytest.mark.parametrize("page", [page for page in guide() if page != PRODUCE], ids=name)
def test_the_commands_of_the_page_print_what_it_shows(page: Path, project: Path) -> None:
    follow(page, project, environment())


def test_the_report_in_the_readme_is_that_of_the_demo() -> None:
    expected = expectation(20_000)
    shown = (ROOT / "README.md").read_text()
    report = re.search(r"([\d,]+) records sent = ([\d,]+) passed on \+ (\d+) quarantined \+ (\d+) dropped", shown)
    assert report is not None
    sent, passed, quarantined, dropped = (int(number.replace(",", "")) for number in report.groups())
    assert (sent, quarantined) == (expected.user_records, sum(expected.broken.values()))
    assert passed + quarantined + dropped == sent


@pytest.fixture
def kinesis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    stack = MiniStack(tmp_path_factory.mktemp("ministack"))
    stack.start()
    yield stack
    stack.stop()


@pytest.mark.integration
def test_the_producers_of_the_page_print_what_it_shows(kinesis: MiniStack, project: Path) -> None:
    reached = credentials(kinesis.endpoint)
    client = boto3.client(
        "kinesis",
        endpoint_url=kinesis.endpoint,
        region_name=reached["AWS_REGION"],
        aws_access_key_id=reached["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=reached["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_stream(StreamName=STREAM, ShardCount=1)
    follow(PRODUCE, project, environment(**reached))


FRAGMENTS = [block for page in guide() for block in blocks(page) if block.kind == "yaml" and block.file is None]


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=str)
def test_a_fragment_is_part_of_a_pipeline_that_passes_the_check(fragment: Block, project: Path) -> None:
    text = fragment.text
    keys = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - texts only
    if "pipeline" not in keys:
        text = f"pipeline: fragment\n{text}"
    if "sinks" not in keys:
        text += '\nsinks: {archive: {s3: {bucket: "${AETHERSTREAM_BUCKET}"}}}\n'
    path = project / "pipelines/fragment.yaml"
    path.write_text(text)
    check(path, {"AETHERSTREAM_BUCKET": "docs-bucket"})


FILES = [block for page in guide() for block in blocks(page) if (block.file or "").startswith("pipelines/")]


@pytest.mark.parametrize("file", [f for f in FILES if f.kind == "yaml" and ".test." not in str(f.file)], ids=str)
def test_a_whole_pipeline_passes_the_check_unless_it_is_called_wrong(
    file: Block, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in FILES:
        if each.page == file.page and each.kind == "python":
            # Under a name of its own: `pipelines` is imported already, from the working tree.
            module = Path(str(each.file)).stem
            (project / f"docs_{module}.py").write_text(each.text)
    monkeypatch.syspath_prepend(project)
    path = project / str(file.file)
    path.write_text(re.sub(r"pipelines\.(thermometers):", r"docs_\1:", file.text))
    if "wrong" in path.stem:
        with pytest.raises(ConfigurationError):
            check(path, {"AETHERSTREAM_BUCKET": "docs-bucket"})
    else:
        check(path, {"AETHERSTREAM_BUCKET": "docs-bucket"})


@pytest.mark.parametrize("block", [b for page in guide() for b in blocks(page) if b.kind == "python"], ids=str)
def test_python_in_the_documentation_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("page", guide(), ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert {block.kind for block in blocks(page)} <= KINDS


@pytest.mark.parametrize(
    ("printed", "shown", "expected"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a 17 ms\nb", "a … ms\nb", True),
        ("a\nb\nc\n", "a\n…\n", True),
        ("a\nb", "a\n", False),
        ("ab", "b", False),
    ],
)
def test_what_is_shown_may_leave_out_what_varies(printed: str, shown: str, *, expected: bool) -> None:
    assert matches(printed, shown) is expected
