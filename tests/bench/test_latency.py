"""The bench's figures of a run, on real processes, short: that it measures, not what."""

import math
from pathlib import Path

import pytest

from bench.latency import latency
from bench.still import still
from tests.system.engines import need_clip, need_models

pytestmark = [pytest.mark.system, pytest.mark.alone]


@pytest.fixture
def clip():
    need_models()
    return need_clip()


def run_of(clip: Path, seconds: float) -> dict[str, float | None]:
    return {
        figure.key: figure.value for section in latency(clip, seconds, lambda _: None) for figure in section.figures
    }


def complete(figures: dict[str, float | None]) -> bool:
    return all(value is not None and math.isfinite(value) for value in figures.values())


def test_every_figure_of_a_short_run_is_measured(clip):
    figures = run_of(clip, 6)
    if not complete(figures):
        # An alert that an answer amends may be longer in coming, above all on a busy machine.
        figures = run_of(clip, 40)
    assert complete(figures), figures
    assert figures["stored_p50_ms"] <= figures["stored_p99_ms"]
    assert figures["judged_p50_ms"] > 0
    assert figures["committed_p50_ms"] > 0
    assert figures["inference_ms"] > 0
    assert figures["agent_rss_mib"] > 20


def test_a_still_scene_is_measured_with_and_without_the_gate(clip):
    figures = {figure.key: figure.value for figure in still(clip, 2, lambda _: None).figures}
    assert 0 < figures["still_gated_cpu_percent"] < figures["still_looking_cpu_percent"]
