"""Reads the Markdown of this project: fenced blocks, links, headings, code spans."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    kind: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block is, named in its first line: `# pipelines/readings.yaml`."""
        named = re.match(r"# ([\w./-]+\.(?:yaml|py))\n", self.text)
        return named[1] if named else None

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def pages() -> list[Path]:
    folders = [ROOT, ROOT / "docs", ROOT / "events"]
    return sorted(
        {*ROOT.glob("*.md"), *(page for folder in folders[1:] for page in folder.rglob("*.md"))},
        key=name,
    )


def guide() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md"))]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in _FENCE.finditer(text)]


def prose(page: Path) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> Iterator[str]:
    return (found[1] for found in _LINK.finditer(_SPAN.sub("", prose(page))))


def spans(page: Path) -> Iterator[str]:
    return (found[1] for found in _SPAN.finditer(prose(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
