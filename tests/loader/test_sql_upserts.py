"""Any events, in any objects, in any order, loaded any number of times: the same table, by both ways of merging."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.sql import Style
from tests.loader.sql_bench import SECONDS, Bench, Row, event
from tests.warehouse.contracts import flights, upserting

pytestmark = pytest.mark.integration
slow = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

events = st.lists(
    st.builds(
        lambda number, key, version: (number, key, version),
        st.integers(1, 40),
        st.sampled_from("abc"),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda found: found[0],
).map(lambda found: [event(*each) for each in found])


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Row], list[list[list[Row]]]]:
    """Events, and loads of objects that hold them: each event in some object, some twice, in any order."""
    wanted = draw(events)
    # An event stands in one object; another attempt's, or a redrive's, may hold it again.
    often = wanted + draw(st.lists(st.sampled_from(wanted), max_size=4))
    order = draw(st.permutations(often))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(order) - 1)), max_size=4)))
    objects = [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    half = draw(st.integers(0, len(objects)))
    return wanted, [part for part in (objects[:half], objects[half:]) if part]


_numbers = iter(range(10**6))


def place(found: Row) -> Any:
    return found["updated_at"], int(found["_event_id"].split(":")[1])


def newest(wanted: list[Row]) -> list[str]:
    keys = {found["flight_id"] for found in wanted}
    return sorted(max((found for found in wanted if found["flight_id"] == key), key=place)["_event_id"] for key in keys)


def loaded(bench: Bench, contract: Contract, style: Style, loads: list[list[list[Row]]]) -> list[str]:
    warehouse = bench.ready(contract, style=style)
    for objects in loads:
        staged = [bench.stage(rows, contract) for rows in objects if rows]
        # As it is when the answer to the first is lost.
        for _ in range(2):
            warehouse.load(bench.load(*staged), SECONDS)
    warehouse.close()
    return bench.ids(contract.table)


@pytest.mark.parametrize("style", ["merge", "delete_insert"])
@slow
@given(delivery=deliveries())
def test_the_newest_of_each_key_stays(
    bench: Bench, style: Style, delivery: tuple[list[Row], list[list[list[Row]]]]
) -> None:
    wanted, loads = delivery
    contract = upserting(schema=bench.schema, table=f"t{next(_numbers)}")
    assert loaded(bench, contract, style, loads) == newest(wanted)


@slow
@given(delivery=deliveries())
def test_each_event_is_appended_once(bench: Bench, delivery: tuple[list[Row], list[list[list[Row]]]]) -> None:
    wanted, loads = delivery
    contract = flights(schema=bench.schema, table=f"t{next(_numbers)}")
    assert loaded(bench, contract, "merge", loads) == sorted(found["_event_id"] for found in wanted)
