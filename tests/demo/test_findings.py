from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from demo.findings import Findings
from demo.report import as_json
from demo.search import Searched
from demo.traffic import Expectation

COUNTERS = {"passed": 3, "archive.events": 3, "archive.delivered": 3}


def found(search: Searched | None = None, **counters: int) -> Findings:
    named = {name.replace("__", "."): number for name, number in counters.items()}
    return Findings(
        Expectation(3, {}),
        seconds=1.0,
        archive=Path("archive"),
        counters=Counter(COUNTERS | named),
        lines=3,
        distinct=3,
        search=search,
    )


def searched(documents: int) -> Searched:
    return Searched(documents, indices=1, late=0, latest=[], by_origin=[])


def test_a_run_without_opensearch_balances_without_it() -> None:
    assert found().balanced
    assert as_json(found())["delivered"] == {"archive": 3}


def test_documents_are_held_to_the_events_made_for_them() -> None:
    balanced = found(searched(3), search__events=3, search__delivered=3)
    assert balanced.checks()["3 events made for search = 3 documents there"]
    assert (balanced.balanced, as_json(balanced)["delivered"]) == (True, {"archive": 3, "search": 3})


def test_what_came_by_way_of_the_spill_counts() -> None:
    assert found(searched(3), search__events=3, search__delivered=1, search__spilled=2).balanced


@pytest.mark.parametrize(("documents", "delivered"), [(2, 3), (4, 3), (3, 2)])
def test_a_document_too_few_or_too_many_shows(documents: int, delivered: int) -> None:
    unbalanced = found(searched(documents), search__events=3, search__delivered=delivered)
    assert not unbalanced.balanced
    assert unbalanced.checks()[f"3 events made for search = {documents} documents there"] is False
