"""Three hundred broken models of three kinds through the device's real checks: the agent lives, each has its reason.

Each damaged file goes two ways. Damaged after it was signed, it is not what the signature names, and its digest gives
it away. Damaged before, with a manifest that vouches for it, it gets as far as the proof.

Some damage does no harm: to a name, to padding, to a weight that nothing depends upon, or to a weight's last bits.
What the proof lets pass is compared with the sound model, value by value, on pictures that the proof does not know.
It counts neither as refused nor towards the three hundred: another damage is drawn in its place.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from agent.adapters.model_store import ModelStore
from agent.adapters.prover import ProcessProver
from agent.detect.settings import DetectSettings
from agent.errors import CandidateRejected, DownloadFailed
from agent.update.ports import Candidate
from agent.update.settings import UpdateSettings
from tests.agent.update.prover.read_in import read_in
from tests.vision.shared import built, shared
from vision import golden
from vision.describe import describe_model
from vision.detections import FloatArray
from vision.detector import ModelDetector, open_detector
from vision.manifest import digest_of
from wire.model import Manifest
from wire.updates import Gates, ModelRef

DAMAGED = {"default": 60, "nanodet-g-416-fp16": 110, "yolox": 130}
"""Three hundred. Each of the default model takes several times as long: its answers are those of the slow kernels."""
PROVERS = 2
LARGE = 64
"""Bytes; shapes, scales and options are smaller."""
SECTOR = 512
DRAWS = 40
SAME_OUTPUTS = "harmless: every output is the same, to the bit"
ROUNDING = "harmless: outputs move by less than rounding does"
MISSED = "MISSED"
MOST_MISSED = 1
"""Of each kind. One damage to the default model passes: the golden pictures show nothing of it, and others do."""
HARMLESS_SPREADS = 1e-3
"""Kernels that round differently move the outputs of a model in 8 bits two hundred times as far."""


@dataclass(frozen=True)
class Sound:
    """A model file, and which of its bytes are structure and which weights."""

    data: bytes
    structure: np.ndarray
    weights: np.ndarray


def sound(path: Path) -> Sound:
    data = path.read_bytes()
    inside = np.zeros(len(data), np.bool_)
    model = schema.Model.GetRootAs(data)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength() > LARGE:
            begin = buffer._tab.Vector(buffer._tab.Offset(4))
            inside[begin : begin + buffer.DataLength()] = True
        # The quantiser keeps weights behind the flatbuffer.
        if buffer.Size() > LARGE:
            inside[buffer.Offset() : buffer.Offset() + buffer.Size()] = True
    return Sound(data, np.flatnonzero(~inside), np.flatnonzero(inside))


def one_of(places: np.ndarray, dice: random.Random) -> int:
    return int(places[dice.randrange(len(places))])


def flipped_structure(of: Sound, dice: random.Random) -> bytes:
    return flipped(of.data, dice, of.structure, 1, 16)


def flipped_weights(of: Sound, dice: random.Random) -> bytes:
    return flipped(of.data, dice, of.weights, 1, 64)


def flipped(data: bytes, dice: random.Random, places: np.ndarray, least: int, most: int) -> bytes:
    made = bytearray(data)
    for _ in range(dice.randint(least, most)):
        made[one_of(places, dice)] ^= 1 << dice.randrange(8)
    return bytes(made)


def lost_sector(of: Sound, dice: random.Random) -> bytes:
    """Part of the weights comes back from the disk as zeros, as ones, or as what lay elsewhere."""
    made = bytearray(of.data)
    begin = one_of(of.weights, dice) & ~(SECTOR - 1)
    end = min(begin + SECTOR, len(made))
    elsewhere = one_of(of.weights, dice) & ~(SECTOR - 1)
    other = (of.data[elsewhere:] + of.data)[: end - begin]
    made[begin:end] = dice.choice([bytes(end - begin), b"\xff" * (end - begin), other])
    return bytes(made)


def wild_words(of: Sound, dice: random.Random) -> bytes:
    """Words of the structure become large, negative or zero: shapes, offsets, indices."""
    made = bytearray(of.data)
    for _ in range(dice.randint(1, 4)):
        place = min(one_of(of.structure, dice) & ~3, len(made) - 4)
        word = dice.choice([0, 1, 2, 300, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x00100000, dice.getrandbits(32)])
        struct.pack_into("<I", made, place, word)
    return bytes(made)


def nudged_words(of: Sound, dice: random.Random) -> bytes:
    """Small changes, which look plausible one by one."""
    made = bytearray(of.data)
    for _ in range(dice.randint(1, 4)):
        place = min(one_of(of.structure, dice) & ~3, len(made) - 4)
        (word,) = struct.unpack_from("<I", made, place)
        struct.pack_into("<I", made, place, (word + dice.choice([-4, -1, 1, 2, 4, 16, 64])) & 0xFFFFFFFF)
    return bytes(made)


def cut(of: Sound, dice: random.Random) -> bytes:
    return of.data[: dice.randrange(len(of.data))]


DAMAGES: dict[str, Callable[[Sound, random.Random], bytes]] = {
    "bits of the structure": flipped_structure,
    "hostile words": wild_words,
    "a sector of weights": lost_sector,
    "plausible words": nudged_words,
    "bits of weights": flipped_weights,
    "cut off": cut,
}


def kind_of(reason: str) -> str:
    assert reason
    assert "while starting" not in reason, "the child failed before it came to the model"
    if ": golden: " in reason:
        return "golden answers differ"
    return reason.partition(":")[0].partition(" (")[0]


def model_of(kind: str) -> Path:
    return shared("models/yolox_nano_syed.tflite") if kind == "yolox" else built(kind) / "model.tflite"


class Device:
    """A device's store and proof, and a release of a model with its golden answers.

    Args:
        source: The sound model.
        folder: For the store.
        command: Starts a proof.
    """

    def __init__(self, source: Path, folder: Path, command: Sequence[str]) -> None:
        self.of = sound(source)
        self.sound = open_detector(source)
        self._folder = folder
        answers = golden.make_golden(lambda kernels: open_detector(source, delegates=[kernels]))
        self._manifest = describe_model(source).model_copy(update={"golden": answers})
        # As the agent does: a model that falls back from the delegate of the present one is refused.
        self._prover = ProcessProver(DetectSettings(), delegate=self.sound.delegate, command=command)
        size = self._manifest.input
        self._unknown = [
            *(golden._blocks(size.width, size.height, 1000 + 10 * number) for number in range(4)),
            golden._noise(size.width, size.height, 4, 999),
        ]
        self._right = self.says(self.sound)

    def says(self, detector: ModelDetector) -> list[FloatArray]:
        return [part.copy() for picture in self._unknown for part in detector.readings(picture)]

    def outcome(self, number: int) -> tuple[Counter[str], str]:
        """What became of a damage, and of how many before it that did no harm."""
        name, damage = list(DAMAGES.items())[number % len(DAMAGES)]
        harmless: Counter[str] = Counter()
        for draw in range(DRAWS):
            data = damage(self.of, random.Random(1000 * draw + number))
            if data == self.of.data:
                continue
            reason = self._refusal(data, f"{number}-{draw}")
            if reason not in {SAME_OUTPUTS, ROUNDING}:
                return harmless, reason
            harmless[f"{name}: {reason}"] += 1
        raise AssertionError(f"{DRAWS} damages to {name} did no harm")

    def _refusal(self, data: bytes, name: str) -> str:
        self._refused_by_digest(data, name)
        store = self._store(name)
        folder = self._folder / name / "made"
        folder.mkdir(parents=True)
        (folder / "model.tflite").write_bytes(data)
        digest = digest_of(folder / "model.tflite")
        vouched = self._manifest.model_copy(update={"digest": digest, "size": max(1, len(data))})
        ref = staged(store, vouched, data)
        candidate = store.verify_staged(ref)
        try:
            self._prover.prove(candidate, Gates(), None)
        except CandidateRejected as refused:
            return kind_of(refused.what)
        else:
            return self._harm(candidate.folder)
        finally:
            store.discard()

    def _refused_by_digest(self, data: bytes, name: str) -> None:
        store = self._store(name)
        with pytest.raises(DownloadFailed, match=r"hashes to sha256:"):
            store.verify_staged(staged(store, self._manifest, data))

    def _store(self, name: str) -> ModelStore:
        built_in = Candidate(ModelRef(name="born", version="1", digest="sha256:" + "0" * 64), self._folder)
        return ModelStore(self._folder / name, built_in, UpdateSettings(), lambda _: None)

    def _harm(self, folder: Path) -> str:
        """What the proof let pass, held against the sound model."""
        damaged = open_detector(folder, delegates=[self.sound.delegate])
        says = self.says(damaged)
        damaged.close()
        pairs = list(zip(self._right, says, strict=True))
        if all(np.array_equal(right, said) for right, said in pairs):
            return SAME_OUTPUTS
        apart = max(float(np.sqrt(np.mean((right - said) ** 2)) / right.std()) for right, said in pairs)
        return ROUNDING if apart <= HARMLESS_SPREADS else f"{MISSED} by {apart:.1g} spreads"


def staged(store: ModelStore, manifest: Manifest, data: bytes) -> ModelRef:
    ref = ModelRef(name=manifest.name, version=manifest.version, digest=manifest.digest)
    folder = store.stage(ref)
    (folder / "model.tflite").write_bytes(data)
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return ref


@pytest.mark.system
@pytest.mark.computing
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("kind", "many"), DAMAGED.items(), ids=DAMAGED)
def test_broken_models_are_refused_each_with_a_reason(kind: str, many: int, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="vedette-") as short, read_in(Path(short)) as command:
        device = Device(model_of(kind), tmp_path, command)
        with ThreadPoolExecutor(PROVERS) as both:
            outcomes = list(both.map(device.outcome, range(many)))
    refused = Counter(reason for _, reason in outcomes)
    harmless = sum((passed for passed, _ in outcomes), Counter[str]())
    told = {"refused": refused.most_common(), "drawn again": harmless.most_common()}
    sys.stdout.write(f"\n{kind}: {json.dumps(told, indent=1)}\n")
    assert refused.total() == many
    assert sum(times for reason, times in refused.items() if reason.startswith(MISSED)) <= MOST_MISSED, refused
    assert len(refused) > 2, "the damages are of several kinds"
    assert refused["golden answers differ"] > many // 10, "damaged weights are known by their answers alone"
    assert len(device.sound.detect(np.zeros((48, 64, 3), np.uint8), 0.3)) == 0, "the old model still serves"
