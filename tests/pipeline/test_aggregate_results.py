"""Where the results of aggregates go: the places that a pipeline file gives them, and those that it may not."""

from pathlib import Path

import pytest

from aetherstream.pipeline.model_results import ResultPlace
from tests.pipeline.writing import ENV, loaded, mistakes

SINKS = """\
pipeline: p
sinks:
  archive: {s3: {bucket: data-bucket}}
  search: {opensearch: {endpoint: "https://x", index: flights}}
  warehouse:
    redshift: {endpoint: host/dev, secret: s, bucket: data-bucket, table: flights, columns: {a: super}}
"""
OUTPUTS = "outputs: {flights: count, routes: {kind: top_k, of: route}}"


def hours(*to: str, name: str = "hours") -> str:
    """An aggregate with these places."""
    lines = ["group_by: [carrier]", "window: {tumbling: 1h}", OUTPUTS, "to:", *(f"  {one}" for one in to)]
    return f"  {name}:\n" + "".join(f"    {line}\n" for line in lines)


def pipeline(*aggregates: str) -> str:
    return f"{SINKS}aggregates:\n{''.join(aggregates)}"


def places(folder: Path, *to: str) -> dict[str, ResultPlace]:
    return dict(loaded(folder, pipeline(hours(*to))).aggregates["hours"].to)


def wrong(folder: Path, *aggregates: str, **env: str) -> list[str]:
    found = mistakes(folder, pipeline(*aggregates), {**ENV, **env})
    return [f"{path.replace('aggregates.hours.to', '~')}: {message}" for _, path, message in found]


def test_results_go_to_a_place_of_their_own_by_each_kind_of_sink(tmp_path: Path) -> None:
    found = places(
        tmp_path,
        "archive: {prefix: a/b}",
        "search: {index: hours, fields: [flights]}",
        "warehouse: {table: public.hours, columns: {carrier: char(2)}, prefix: s}",
    )
    assert found == {
        "archive": ResultPlace(prefix="a/b"),
        "search": ResultPlace(index="hours", fields=["flights"]),
        "warehouse": ResultPlace(table="public.hours", columns={"carrier": "char(2)"}, prefix="s"),
    }


def test_objects_have_a_prefix_by_default_those_for_the_loader_beside_what_the_sink_stages(tmp_path: Path) -> None:
    found = places(tmp_path, "archive: {}", "search: {index: hours}", "warehouse: {table: hours}")
    assert found == {
        "archive": ResultPlace(prefix="p/results/hours/archive"),
        "search": ResultPlace(index="hours"),
        "warehouse": ResultPlace(table="hours", prefix="p/staging/warehouse.results/hours"),
    }


TABLE = "warehouse: {table: t, columns: {%s}}"
FITS = {
    "archiv: {}": "~.archiv: there is no sink 'archiv' (did you mean 'archive'?)",
    "search: {}": "~.search: needs `index`: `opensearch` sinks have no default for it",
    "warehouse: {}": "~.warehouse: needs `table`: `redshift` sinks have no default for it",
    "archive: {index: i}": "~.archive.index: belongs to `opensearch` sinks; this one is `s3`",
    "archive: {table: t}": "~.archive.table: belongs to `redshift` sinks; this one is `s3`",
    "search: {index: i, prefix: a}": (
        "~.search.prefix: belongs to `s3` and `redshift` sinks; this one is `opensearch`"
    ),
    "search: {index: Hours}": "~.search.index: 'Hours': OpenSearch takes lower-case names only; write 'hours'",
    "archive: {fields: [flight]}": "~.archive.fields[0]: there is no output 'flight' (did you mean 'flights'?)",
    "archive: {fields: [flights, flights]}": "~.archive.fields[1]: 'flights' stands here twice",
    TABLE % "carrier: chr(2)": (
        "~.warehouse.columns.carrier: 'chr(2)' is no column type; there are bigint, boolean, char, date, decimal,"
        " double precision, integer, real, smallint, super, timestamp, timestamptz, varchar"
    ),
    TABLE % "carier: char(2)": ("~.warehouse.columns.carier: results have no field 'carier' (did you mean 'carrier'?)"),
    "warehouse: {table: t, columns: {flights: bigint}, fields: [routes]}": (
        "~.warehouse.columns.flights: results have no field 'flights' (there are: aggregate, carrier, final, id,"
        " removed, routes, version, window_end, window_start)"
    ),
    TABLE % "version: bigint": (
        "~.warehouse.columns.version: has a type of its own; only the group's and the outputs' can be chosen"
    ),
    "warehouse: {table: aetherstream_loads}": (
        "~.warehouse.table: 'aetherstream_loads' is a table of AetherStream's own; give this one another name"
    ),
}


@pytest.mark.parametrize(("to", "said"), FITS.items())
def test_a_place_fits_its_sink(tmp_path: Path, to: str, said: str) -> None:
    assert wrong(tmp_path, hours(to)) == [said]


def test_a_name_that_stands_twice_in_an_aggregate_is_not_named_again_for_its_table(tmp_path: Path) -> None:
    text = pipeline(hours("warehouse: {table: t, columns: {carrier: char(2)}}")).replace(
        "flights: count", "Carrier: count"
    )
    assert [path for _, path, _ in mistakes(tmp_path, text)] == ["aggregates.hours.outputs.Carrier"]


@pytest.mark.parametrize("index", ["flights", "flights-2013", "flights-hours"])
def test_results_stay_out_of_the_indices_of_events(tmp_path: Path, index: str) -> None:
    assert wrong(tmp_path, hours(f"search: {{index: {index}}}")) == [
        (
            "~.search.index: the indices `flights-*` of this cluster are those of sinks.search: its readers would find"
            " results among the events, and its retention would remove them; give these another name"
        )
    ]


def test_no_two_aggregates_share_an_index_or_a_table(tmp_path: Path) -> None:
    one = hours("search: {index: hours}", "warehouse: {table: hours}")
    two = hours("search: {index: hours}", "warehouse: {table: public.hours}", name="more")
    assert wrong(tmp_path, one, two) == [
        (
            "aggregates.more.to.search.index: aggregates.hours.to.search writes to 'hours' of this cluster too; give"
            " each a name of its own"
        ),
        (
            "aggregates.more.to.warehouse.table: aggregates.hours.to.warehouse loads into 'public.hours' of this"
            " warehouse too; give each a name of its own"
        ),
    ]


def test_results_have_another_table_than_the_events(tmp_path: Path) -> None:
    assert wrong(tmp_path, hours("warehouse: {table: flights}")) == [
        "~.warehouse.table: sinks.warehouse loads into 'flights' of this warehouse too; give each a name of its own"
    ]


APART = {
    "archive: {prefix: p/archive/x}": "'p/archive/x' and sinks.archive.s3's 'p/archive'",
    "warehouse: {table: t, prefix: p/archive}": "'p/archive' and sinks.archive.s3's 'p/archive'",
    "archive: {prefix: p/staging/warehouse}": (
        "'p/staging/warehouse' and sinks.warehouse.redshift's 'p/staging/warehouse'"
    ),
    "archive: {prefix: p/quarantine}": "'p/quarantine' and quarantine.s3's 'p/quarantine'",
    "archive: {prefix: p/.aggregates/x}": "'p/.aggregates/x' and 'p/.aggregates', with the aggregates' logs,",
}


@pytest.mark.parametrize(("to", "which"), APART.items())
def test_objects_of_results_lie_among_no_others(tmp_path: Path, to: str, which: str) -> None:
    sink = to.partition(":")[0]
    assert wrong(tmp_path, hours(to)) == [f"~.{sink}.prefix: {which} lie in one another; readers would mix them"]


def test_no_sink_has_the_logs_of_aggregates_among_its_objects(tmp_path: Path) -> None:
    text = f"""\
pipeline: p
sinks: {{archive: {{s3: {{bucket: data-bucket, prefix: p}}}}}}
quarantine: {{s3: {{bucket: data-bucket, prefix: q}}}}
aggregates:
{hours("archive: {prefix: r}")}
"""
    said = "'p' and 'p/.aggregates', with the aggregates' logs, lie in one another; readers would mix them"
    assert mistakes(tmp_path, text) == [("2:53", "sinks.archive.s3.prefix", said)]


def test_the_loader_has_to_hear_of_the_results_too(tmp_path: Path) -> None:
    staging = {"AETHERSTREAM_REDSHIFT_STAGING": "p/staging/"}
    assert loaded(tmp_path, pipeline(hours("warehouse: {table: t}")), {**ENV, **staging}).name == "p"
    assert wrong(tmp_path, hours("warehouse: {table: t, prefix: p/elsewhere}"), **staging) == [
        (
            "~.warehouse.prefix: 'p/elsewhere' is not below 'p/staging/', and the loader only hears of objects there:"
            " change one of them (the template's parameter is RedshiftStagingPrefix)"
        )
    ]


def test_a_sink_that_is_wrong_is_no_reason_to_refuse_its_results(tmp_path: Path) -> None:
    text = pipeline(hours("search: {index: hours}")).replace('endpoint: "https://x"', "endpoint: 7")
    assert [path for _, path, _ in mistakes(tmp_path, text)] == ["sinks.search.opensearch.endpoint"]
    text = pipeline(hours("search: {index: hours}")).replace("index: flights", "indx: flights")
    assert [path for _, path, _ in mistakes(tmp_path, text)] == ["sinks.search.opensearch.indx"]
