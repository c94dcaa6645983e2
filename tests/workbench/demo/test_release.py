"""The demo's keys, release and rollout, without the demo around them."""

import json
import os
import shlex

import httpx
import pytest
from typer.testing import CliRunner

from cloud.cli import app
from cloud.deployment import Ask, Fate
from cloud.errors import RolloutOpen
from cloud.web.rollouts import RolloutDetail, RolloutDeviceView
from vision.errors import ModelMissing
from vision.models import UPGRADE_MODEL, find_model
from wire.updates import UpdateState
from workbench.demo.parts import enrol
from workbench.demo.release import POLICY, Releasing, Rolling, command_for, make_trust, publish
from workbench.errors import DemoFailed

pytestmark = pytest.mark.parts

BOUND_S = 60


@pytest.fixture
def model():
    try:
        find_model(UPGRADE_MODEL)
    except ModelMissing as missing:
        if os.environ.get("VEDETTE_REQUIRE_ENGINES") == "1":
            raise
        pytest.skip(str(missing))
    return UPGRADE_MODEL


def test_a_kept_folder_keeps_its_keys_and_its_release(tmp_path, model):
    root = make_trust(tmp_path).read_bytes()
    assert make_trust(tmp_path).read_bytes() == root
    released = publish(tmp_path, model)
    assert released.number == 1
    assert publish(tmp_path, model) == released


def test_what_a_person_is_told_to_type_does_what_the_demo_does_itself(tmp_path, model):
    enrol(tmp_path, ["gate-1"])
    make_trust(tmp_path)
    releasing = Releasing(tmp_path, model)
    releasing.begin()
    releasing.begin()
    releasing.join(BOUND_S)
    assert releasing.failed is None

    program, *words = shlex.split(command_for(tmp_path, releasing.published))
    typed = CliRunner().invoke(app, [*words, "--json"])
    assert (program, typed.exit_code) == ("vedette", 0), typed.output
    begun = RolloutDetail.model_validate_json(typed.stdout)
    assert begun.policy == POLICY
    assert begun.target == releasing.published

    with httpx.Client(base_url="http://cloud") as cloud, pytest.raises(RolloutOpen):
        Rolling(tmp_path, cloud, releasing.published)


def test_a_rollout_is_shown_as_the_service_tells_it(tmp_path, model):
    enrol(tmp_path, ["gate-1"])
    make_trust(tmp_path)
    answers = []

    def answer(request: httpx.Request) -> httpx.Response:
        if not answers:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, text=answers.pop(0))

    with httpx.Client(base_url="http://cloud", transport=httpx.MockTransport(answer)) as cloud:
        rolling = Rolling(tmp_path, cloud, publish(tmp_path, model))
        listed = CliRunner().invoke(app, ["rollout", "list", "--json", "--data-dir", str(tmp_path / "cloud")])
        detail = RolloutDetail.model_validate(json.loads(listed.stdout)[0])
        assert detail.id == rolling.figures.id
        device = RolloutDeviceView(
            device="gate-1", stage=0, ask=Ask.INSTALL, fate=Fate.FAILED, state=UpdateState.REJECTED, online=True,
            reason="rejected: it is blind", excused=False, told_at=detail.created_at, moved_at=detail.created_at,
        )  # fmt: skip
        proving = device.model_copy(
            update={"device": "plaza-2", "fate": Fate.PENDING, "state": UpdateState.PROVING, "reason": ""}
        )
        answers.append(detail.model_copy(update={"devices": (proving, device)}).model_dump_json())
        rolling.look()
        assert rolling.figures.devices == {"gate-1": "failed: rejected: it is blind", "plaza-2": "proving"}
        assert (rolling.figures.phase, rolling.figures.updated) == ("running", 0)
        with pytest.raises(DemoFailed, match="does not answer"):
            rolling.look()


def test_a_model_that_cannot_be_had_is_kept_as_what_failed(tmp_path):
    make_trust(tmp_path)
    releasing = Releasing(tmp_path, "no-such-model")
    releasing.begin()
    releasing.join(BOUND_S)
    assert releasing.published is None
    assert "no-such-model" in releasing.failed.what
