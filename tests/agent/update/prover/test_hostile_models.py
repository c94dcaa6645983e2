"""Three hundred broken models of three kinds through the real proof: the agent lives, each has its reason."""

from __future__ import annotations

import json
import random
import shutil
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from agent.adapters.prover import ProcessProver
from agent.detect.settings import DetectSettings
from agent.errors import CandidateRejected
from agent.update.ports import Candidate
from tests.vision.shared import built, shared
from vision.describe import describe_model
from vision.detector import open_detector
from vision.golden import answers
from vision.manifest import digest_of
from wire.updates import Gates, ModelRef

EACH = 100
PROVERS = 2
LARGE = 256
HARMLESS = "proven: it answers the golden pictures as before"


@dataclass(frozen=True)
class Sound:
    """A model file, and which of its bytes are structure: all outside of the large buffers."""

    data: bytes
    structure: tuple[int, ...]
    weights: tuple[int, ...]


def sound(path: Path) -> Sound:
    data = path.read_bytes()
    inside = bytearray(len(data))
    model = schema.Model.GetRootAs(data)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength() > LARGE:
            begin = buffer._tab.Vector(buffer._tab.Offset(4))
            inside[begin : begin + buffer.DataLength()] = b"\x01" * buffer.DataLength()
    marks = np.frombuffer(inside, np.uint8)
    return Sound(data, tuple(np.flatnonzero(marks == 0).tolist()), tuple(np.flatnonzero(marks)[::997].tolist()))


def flipped_structure(of: Sound, dice: random.Random) -> bytes:
    return flipped(of.data, dice, of.structure)


def flipped_weights(of: Sound, dice: random.Random) -> bytes:
    return flipped(of.data, dice, of.weights)


def flipped(data: bytes, dice: random.Random, places: Sequence[int]) -> bytes:
    made = bytearray(data)
    for _ in range(dice.randint(1, 16)):
        made[dice.choice(places)] ^= 1 << dice.randrange(8)
    return bytes(made)


def wild_words(of: Sound, dice: random.Random) -> bytes:
    """Words of the structure become large, negative or zero: shapes, offsets, indices."""
    made = bytearray(of.data)
    for _ in range(dice.randint(1, 4)):
        place = min(dice.choice(of.structure) & ~3, len(made) - 4)
        word = dice.choice([0, 1, 2, 300, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x00100000, dice.getrandbits(32)])
        struct.pack_into("<I", made, place, word)
    return bytes(made)


def nudged_words(of: Sound, dice: random.Random) -> bytes:
    """Small changes, which look plausible one by one."""
    made = bytearray(of.data)
    for _ in range(dice.randint(1, 4)):
        place = min(dice.choice(of.structure) & ~3, len(made) - 4)
        (word,) = struct.unpack_from("<I", made, place)
        struct.pack_into("<I", made, place, (word + dice.choice([-4, -1, 1, 2, 4, 16, 64])) & 0xFFFFFFFF)
    return bytes(made)


def cut(of: Sound, dice: random.Random) -> bytes:
    return of.data[: dice.randrange(len(of.data))]


DAMAGES = (flipped_structure, wild_words, flipped_structure, nudged_words, flipped_weights, cut)


def damaged(of: Sound, manifest: dict[str, object], golden: str, folder: Path, number: int) -> Candidate:
    """A broken copy with a manifest that vouches for it: the signer is careless, or hostile."""
    data = DAMAGES[number % len(DAMAGES)](of, random.Random(number))
    folder.mkdir()
    file = folder / "model.tflite"
    file.write_bytes(data)
    (folder / "golden.json").write_text(golden)
    digest = digest_of(file)
    (folder / "manifest.json").write_text(json.dumps(manifest | {"digest": digest, "size": max(1, len(data))}))
    return Candidate(ModelRef(name=str(manifest["name"]), version=str(manifest["version"]), digest=digest), folder)


def kind_of(reason: str) -> str:
    assert reason
    if "golden picture" in reason:
        return "golden answers differ"
    return reason.partition(":")[0].partition(" (")[0]


def model_of(kind: str) -> Path:
    return shared("models/yolox_nano_syed.tflite") if kind == "yolox" else built(kind) / "model.tflite"


@pytest.mark.system
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["default", "nanodet-g-416-fp16", "yolox"])
def test_broken_models_are_refused_each_with_a_reason(kind: str, tmp_path: Path) -> None:
    source = model_of(kind)
    manifest = json.loads(describe_model(source).model_dump_json())
    of = sound(source)
    serving = open_detector(source)
    golden = json.dumps({"scores": answers(serving)})
    prover = ProcessProver(DetectSettings())

    def outcome(number: int) -> str:
        folder = tmp_path / str(number)
        candidate = damaged(of, manifest, golden, folder, number)
        reason = HARMLESS
        try:
            prover.prove(candidate, Gates(), None)
        except CandidateRejected as refused:
            reason = kind_of(refused.what)
        shutil.rmtree(folder)
        return reason

    with ThreadPoolExecutor(PROVERS) as both:
        outcomes = Counter(both.map(outcome, range(EACH)))
    sys.stdout.write(f"\n{kind}: {json.dumps(outcomes, indent=1)}\n")
    assert outcomes.total() == EACH
    assert len(outcomes) > 2, "the damages are of several kinds"
    assert outcomes[HARMLESS] < EACH
    assert len(serving.detect(np.zeros((48, 64, 3), np.uint8), 0.3)) == 0, "the old model still serves"
