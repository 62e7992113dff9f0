from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from demo.findings import Findings
from demo.report import as_json
from demo.search import Searched
from demo.traffic import Expectation
from demo.warehouse import Carriers, Warehoused

COUNTERS = {"passed": 3, "archive.events": 3, "archive.delivered": 3}


LATE: Carriers = [("Air One", 3, Decimal("12.3"))]
ROWS = Warehoused(rows=3, distinct=3, lacking=0, foreign=0, carriers=LATE, carriers_in_file=LATE)


def found(search: Searched | None = None, warehouse: Warehoused | None = None, **counters: int) -> Findings:
    named = {name.replace("__", "."): number for name, number in counters.items()}
    return Findings(
        Expectation(3, {}),
        seconds=1.0,
        archive=Path("archive"),
        counters=Counter(COUNTERS | named),
        lines=3,
        distinct=3,
        search=search,
        warehouse=warehouse,
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


def test_rows_are_held_to_the_events_made_for_them_to_the_archive_and_to_the_file() -> None:
    balanced = found(warehouse=ROWS, warehouse__events=3, warehouse__delivered=3)
    assert [text for text in balanced.checks() if "warehouse" in text or "row" in text or "DuckDB" in text] == [
        "3 events made for warehouse = 3 rows there",
        "each event of the archive in one row: 3 event ids",
        "the query gives there what DuckDB computes from the file",
    ]
    assert (balanced.balanced, as_json(balanced)["delivered"]) == (True, {"archive": 3, "warehouse": 3})


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 2},
        {"rows": 4},
        {"distinct": 2},
        {"lacking": 1},
        {"foreign": 1},
        {"carriers": [("Air One", 3, Decimal("12.4"))]},
    ],
)
def test_a_table_that_is_not_what_it_should_be_shows(wrong: dict[str, Any]) -> None:
    assert not found(warehouse=replace(ROWS, **wrong), warehouse__events=3, warehouse__delivered=3).balanced


def test_rows_that_were_not_staged_as_they_were_made_show() -> None:
    assert not found(warehouse=ROWS, warehouse__events=3, warehouse__delivered=2).balanced
