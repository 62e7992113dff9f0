"""Nothing in the documentation points at what is not there."""

import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, anchors, blocks, guide, links, name, pages, spans

OWN = re.compile(r"(?:\.ci|aetherstream|bench|demo|docs|events|handlers|pipelines|requirements|scripts|tests)/[\w./-]+")
# What a build or a run makes.
MADE = {"aetherstream/_build.json", "bench/results/latest.json", "demo/report.json"}


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        if target.startswith(("https://", "http://")):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    made = MADE | {block.file for each in guide() for block in blocks(each) if block.file}
    named = {span for span in spans(page) if OWN.fullmatch(span)}
    assert [path for path in sorted(named - made) if not (ROOT / path).exists()] == []


def test_every_page_that_the_code_names_is_there() -> None:
    sources = [ROOT / "Makefile", ROOT / "template.yaml", ROOT / "pyproject.toml", ROOT / "samconfig.toml"]
    for folder in ("aetherstream", "bench", "demo", "handlers", "pipelines", "scripts", "tests"):
        sources += [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".yaml"}]
    dead = {
        (source.relative_to(ROOT).as_posix(), path)
        for source in sources
        for path in re.findall(r"docs/[a-z0-9/_-]+\.(?:md|json)", source.read_text())
        if not (ROOT / path).exists()
    }
    assert dead == set()


def test_every_decision_stands_in_the_index_under_its_number() -> None:
    folder = ROOT / "docs/adr"
    records = sorted(path.name for path in folder.glob("0*.md"))
    assert [number for number in links(folder / "README.md") if number.startswith("0")] == records
    assert [record[:4] for record in records] == [f"{number:04d}" for number in range(1, len(records) + 1)]
    for record in records:
        assert (folder / record).read_text().startswith(f"# {int(record[:4])}. ")
