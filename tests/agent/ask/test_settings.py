from __future__ import annotations

import pytest
from pydantic import ValidationError

from agent.ask.settings import AskSettings


def test_a_base_url_loses_its_last_slash():
    assert AskSettings(url="https://cloud:8443/").url == "https://cloud:8443"


@pytest.mark.parametrize(
    "url", ["", "cloud", "mqtt://cloud", "http://", "http://me:secret@cloud", "http://cloud?x", "http://cloud:0"]
)
def test_bad_urls_are_refused_by_the_key(url):
    with pytest.raises(ValidationError) as refused:
        AskSettings(url=url)
    assert refused.value.errors()[0]["loc"] == ("url",)


@pytest.mark.parametrize("fields", [{"min_crop_px": 700}, {"retry_min_s": 9.0, "retry_max_s": 1.0}, {"qualty": 3}])
def test_settings_that_contradict_each_other_are_refused(fields):
    with pytest.raises(ValidationError):
        AskSettings(url="http://cloud", **fields)
