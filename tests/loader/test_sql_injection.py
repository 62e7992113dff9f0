"""Texts that would be statements, in everything that a stranger or a server may name: they stay texts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.loader.parts import Staged
from tests.loader.sql_bench import SECONDS, Bench, event
from tests.warehouse.test_sql import ATTACKS

pytestmark = pytest.mark.integration

TEXTS = [text for text in ATTACKS if text and "\0" not in text]


@pytest.mark.parametrize("attack", TEXTS)
def test_what_the_ledger_is_told_it_keeps(bench: Bench, attack: str) -> None:
    warehouse = bench.ready()
    warehouse.set_aside({Staged("b", attack, attack, 1): attack}, attack, SECONDS)
    (found,) = warehouse.failures(SECONDS)
    assert (found.location, found.etag, found.error, found.load) == (f"b/{attack}", attack, attack, attack)
    assert list(warehouse.known([f"b/{attack}", attack], SECONDS)) == [f"b/{attack}"]
    assert warehouse.forget([f"b/{attack}"], SECONDS) == 1


@pytest.mark.parametrize("attack", ["it's'; DROP TABLE flights; --", 'a"b', "x\\' OR 1=1 --", "%s :target $1 {0}"])
def test_an_object_of_any_name_is_loaded(bench: Bench, attack: str) -> None:
    warehouse = bench.ready()
    staged = bench.stage([event(1)], name=attack)
    assert warehouse.load(bench.load(staged), SECONDS).fresh == {staged.location}
    assert (bench.ids(), list(warehouse.known([staged.location], SECONDS))) == (["s:1:0"], [staged.location])


@pytest.mark.parametrize("attack", TEXTS)
def test_no_role_gets_out_of_its_quotes(bench: Bench, attack: str) -> None:
    bench.ready()
    warehouse = bench.warehouse(replace(bench.target(), copy_role=attack))
    with pytest.raises(ConfigurationError, match="is no ARN of a role"):
        warehouse.load(bench.load(bench.stage([event(1)])), SECONDS)
    assert bench.ids() == []
