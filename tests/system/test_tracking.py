"""The device alone on the half of the labelled clip that nothing was tuned on: the figures it must reach."""

import pytest

from agent.detect.settings import GOOD_LOOKS, LookSettings
from agent.track import TrackSettings
from bench.recorded import RecordedDetector
from bench.tracking import CACHE, HALVES, read_clip, run
from tests.system.engines import labels, need_clip, need_models
from vision.detector import open_detector

pytestmark = [pytest.mark.system, pytest.mark.computing, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def judge():
    need_models()
    clip = read_clip(need_clip(), labels())
    detector = RecordedDetector(open_detector("default"), CACHE.expanduser())

    def judge(looks):
        figures = run(clip, HALVES["second"], detector, LookSettings(per_frame=looks), TrackSettings())
        detector.save()
        return figures

    return judge


def test_second_looks_find_nearly_everybody_without_a_byte_sent(judge):
    alone = judge(GOOD_LOOKS)
    assert alone.invokes <= 3.3
    assert alone.f1 >= 0.89
    assert alone.ap50 >= 0.90
    assert alone.f1 > judge(0.0).f1 + 0.05


def test_people_are_told_of_soon_and_once(judge):
    alerts = judge(GOOD_LOOKS).alerts
    assert alerts.events >= 10
    assert alerts.in_time >= 0.90
    assert alerts.precision >= 0.90
    assert alerts.duplicates <= 0.3
    assert alerts.delay_s is not None
    assert alerts.delay_s <= 0.4


@pytest.mark.alone
def test_the_policy_costs_a_small_part_of_an_inference(judge):
    figures = judge(GOOD_LOOKS)
    # A ratio, since whatever else runs on a machine slows both; a ninth was measured, and the rest is for bad days.
    assert figures.policy_ms <= 0.2 * figures.inference_ms
