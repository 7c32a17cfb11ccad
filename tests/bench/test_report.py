"""Rows that were made up, and what is said of them."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from minivisor.bench.pairs import Measured
from minivisor.bench.report import as_json, environment, judge, legend, table, verdict
from minivisor.bench.rows import Bar, Row


def row(bar: Bar | None = None, guests: bool = True) -> Row:
    return Row("fake", "a made-up row", "µs", "a made-up peer", bar, "fake:measure", 3, "little", "much", guests=guests)


def shown(measured: Measured, bar: Bar | None = None, quick: bool = False) -> str:
    out = io.StringIO()
    results = [judge(row(bar), measured, quick)]
    Console(file=out, width=100).print(table(results, environment()), *legend(results), sep="\n")
    return out.getvalue()


PAIRS = [(6.0, 2.0), (1.0, 1.0), (10.0, 5.0)]


@pytest.mark.parametrize(
    ("bar", "holds"),
    [
        (Bar("ratio", "≥", 2.0), True),
        (Bar("ratio", "≥", 2.1), False),
        (Bar("ratio", "≤", 2.0), True),
        (Bar("ratio", "≤", 1.9), False),
        (Bar("value", "≤", 6.0), True),
        (Bar("value", "≤", 5.9), False),
        (Bar("value", "≥", 6.1), False),
        (Bar("exits", "≤", 0.5), True),
        (Bar("exits", "≤", 0.4), False),
        (None, None),
    ],
)
def test_a_bar_is_held_against_the_median(bar: Bar | None, holds: bool | None) -> None:
    assert judge(row(bar), Measured(PAIRS, {"exits_an_operation": 0.5})).holds is holds


def test_the_numbers_of_a_result_are_medians_and_its_noise_the_extremes() -> None:
    result = judge(row(Bar("ratio", "≤", 3.0)), Measured(PAIRS, {"exits": 7}, "no compiler"))
    assert (result.value, result.peer_value, result.ratio, result.bar) == (6.0, 2.0, 2.0, "≤ 3×")
    assert result.noise == {"of": "ratio", "min": 1.0, "max": 3.0}
    assert (result.samples, result.detail, result.not_run) == (PAIRS, {"exits": 7}, "no compiler")
    of_value = judge(row(Bar("value", "≤", 3.0)), Measured(PAIRS))
    assert of_value.noise == {"of": "value", "min": 1.0, "max": 10.0}
    assert of_value.bar == "≤ 3"


def test_what_each_phase_is_made_of_is_listed_for_people_too() -> None:
    counts = {"kernel": {"instructions": 1234, "HVC": 5, "Physical IRQ": 0}, "init": {"instructions": 7}}
    said = shown(Measured(PAIRS, {"phases": counts}))
    assert "fake, kernel: instructions 1,234, HVC 5\n" in said
    assert "fake, init: instructions 7\n" in said


def test_a_quick_run_is_judged_by_no_bar() -> None:
    assert judge(row(Bar("ratio", "≤", 1.0)), Measured(PAIRS), quick=True).holds is None
    assert "not judged" in shown(Measured(PAIRS), Bar("ratio", "≤", 1.0), quick=True)


def test_what_is_absent_is_neither_held_nor_missed() -> None:
    bar = Bar("value", "≤", 400.0)
    result = judge(row(bar), Measured([], not_run="not counted here"))
    assert (result.value, result.ratio, result.holds, result.noise["min"]) == (None, None, None, None)
    text = shown(Measured([], not_run="not counted here"), bar)
    assert "absent" in text
    assert "NOT RUN" in text
    assert "fake NOT RUN: not counted here" in text


def test_a_row_without_its_peer_is_not_run_but_for_what_needs_none() -> None:
    alone = Measured([(6.0, None)], {"exits_an_operation": 0.0}, "no emulator")
    assert verdict(judge(row(Bar("ratio", "≥", 1.0)), alone)) == "NOT RUN"
    assert verdict(judge(row(), alone)) == "NOT RUN"
    assert verdict(judge(row(Bar("exits", "≤", 0.0)), alone)) == "holds"
    assert "no emulator" in shown(alone, Bar("exits", "≤", 0.0))


def test_a_result_names_cost_model_and_engine_where_guests_run() -> None:
    with_guests, without = judge(row(), Measured(PAIRS)), judge(row(guests=False), Measured(PAIRS))
    assert (with_guests.cost_model, with_guests.mmu) == ("zero", "minivisor")
    assert (without.cost_model, without.mmu) == (None, None)


def test_json_has_every_sample_and_says_where_it_was_measured() -> None:
    where = environment()
    read = json.loads(as_json([judge(row(), Measured(PAIRS))], where, quick=False))
    assert set(read) == {"api", "quick", "environment", "rows"}
    assert read["environment"] == where
    assert {"cpu", "cores", "system", "python", "cost_model", "mmu", "load_average"} < set(where)
    assert set(where["versions"]) == {"minivisor", "unicorn", "numba", "numpy"}
    assert "absent" not in where["versions"].values()
    (only,) = read["rows"]
    assert [tuple(sample) for sample in only["samples"]] == PAIRS
    wanted = "name value unit peer ratio bar holds peer_value noise cost_model mmu samples not_run detail title"
    assert set(only) == set(wanted.split())


def test_the_table_says_which_bar_was_missed_and_by_what() -> None:
    text = shown(Measured(PAIRS), Bar("ratio", "≥", 3.0))
    assert "MISSED" in text
    for words in ("6 µs", "2.00×", "1 … 3×", "≥ 3×", "a made-up peer", "cost model zero"):
        assert words in text
    assert "holds" in shown(Measured(PAIRS), Bar("ratio", "≥", 1.0))


def test_small_numbers_stay_short() -> None:
    text = shown(Measured([(0.0593123, 0.0501), (0.0775456, 0.0502)]), Bar("value", "≤", 0.3))
    assert "0.059 … 0.078" in text
    assert "1,234 … 5,679" in shown(Measured([(1234.4, 1.0), (5678.9, 1.0)]), Bar("value", "≤", 0.3))
