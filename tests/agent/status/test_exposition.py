"""The text for Prometheus, read by its official parser."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from agent.status.exposition import Family, Sample, by_label, text_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES = st.floats(allow_nan=False) | st.integers(min_value=0, max_value=2**53)


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=5))
def test_any_label_and_value_comes_back_as_it_was(values: dict[str, float]) -> None:
    family = Family("vedette_agent_things_total", "counter", "Things.", by_label("of", values.items()))
    (read,) = text_string_to_metric_families(text_of([family]))
    assert (read.name, read.type, read.documentation) == ("vedette_agent_things", "counter", "Things.")
    assert {sample.labels["of"]: sample.value for sample in read.samples} == values


@given(TEXT)
def test_any_meaning_stays_on_its_line(meaning: str) -> None:
    family = Family("a", "gauge", meaning, (Sample(1.0),))
    assert text_of([family]).splitlines()[-1] == "a 1.0"
    assert text_of([family]).count("\n") == 3


def test_a_summary_has_its_sum_and_count() -> None:
    samples = (Sample(0.25, (("camera", "yard"),), "_sum"), Sample(10, (("camera", "yard"),), "_count"))
    (read,) = text_string_to_metric_families(text_of([Family("seconds", "summary", "How long.", samples)]))
    assert read.type == "summary"
    assert {sample.name: sample.value for sample in read.samples} == {"seconds_sum": 0.25, "seconds_count": 10.0}


def test_infinity_is_written_as_the_format_has_it() -> None:
    (read,) = text_string_to_metric_families(text_of([Family("a", "gauge", "A.", (Sample(math.inf),))]))
    assert read.samples[0].value == math.inf


def test_a_family_without_samples_is_left_out() -> None:
    assert text_of([Family("a", "gauge", "A.", ())]) == ""
