from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.offload.rate import RateLimit


def test_a_burst_passes_then_one_at_a_time():
    rate = RateLimit(per_s=2, burst=3)
    assert [rate.wait_s("cam-1", 10.0) for _ in range(3)] == [0, 0, 0]
    assert rate.wait_s("cam-1", 10.0) == pytest.approx(0.5)
    assert rate.wait_s("cam-1", 10.5) == 0
    assert rate.wait_s("cam-1", 10.5) > 0


def test_one_device_does_not_use_up_anothers_share():
    rate = RateLimit(per_s=1, burst=1)
    assert rate.wait_s("cam-1", 0.0) == 0
    assert rate.wait_s("cam-1", 0.0) > 0
    assert rate.wait_s("cam-2", 0.0) == 0


def test_only_so_many_devices_are_remembered():
    rate = RateLimit(per_s=1, burst=1, remembered=2)
    for name in ("a", "b", "c"):
        assert rate.wait_s(name, 0.0) == 0
    assert rate.wait_s("c", 0.0) > 0
    assert rate.wait_s("a", 0.0) == 0


@given(
    per_s=st.floats(0.1, 50),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
)
def test_never_more_than_rate_and_burst_allow(per_s, burst, gaps):
    rate, now, passed = RateLimit(per_s=per_s, burst=burst), 0.0, 0
    for gap in gaps:
        now += gap
        wait = rate.wait_s("cam-1", now)
        passed += wait == 0
        assert 0 <= wait <= 1 / per_s + 1e-9
    assert passed <= burst + now * per_s + 1e-6
