"""Golden answers: by what a model says of pictures that are the same everywhere, it is known again.

A release's manifest carries what its model said where the release was made. A device's proof asks again, and refuses
where the answers differ: the file was damaged before it was signed, it is not the one that the manifest describes, or
this device's runtime computes something else.

An answer is a sketch of one part of the outputs: sums over all of its values, with a pattern of signs for each sum.
The difference of two sketches, root mean square over the sums, estimates that of all values, so that a change
anywhere shows, in a few numbers. It is measured in spreads (standard deviations of the values).

Kernels round differently. In floating point that comes to 1e-5 spreads; in 8 bits it comes to .2, which would hide
much damage. So where a model's kernels disagree by more than `CLOSE`, the answers are the reference kernels', which
give the same bits on every machine, and a device that lies further off runs those, too.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from vision.detections import FloatArray, Image
from vision.detector import ModelDetector
from vision.errors import DelegateFailed, InferenceFailed, ManifestInvalid
from vision.runtime import NO_DELEGATE, REFERENCE, XNNPACK
from wire.model import Answer, Golden

SET: Final = 1
"""Of pictures and patterns; another one gets another number."""
SUMS: Final = 16
"""The estimate is off by a sixth, as a rule; a hash of 32 bits has signs for 32."""
SAME: Final = 2e-4
"""In floating point 1.3e-5 was the most over x86-64 and aarch64, LiteRT 2.3 and tflite-runtime 2.14, all kernels, one
and two threads; the reference kernels in 8 bits gave the same bits."""
CLOSE: Final = SAME / 4
"""Kernels that differ by less do so by the order of their additions only."""
MARGIN: Final = 3.0
"""Over the difference that was measured: another machine's kernels lie elsewhere (.23 where .21 was measured)."""
LOOSEST: Final = 10.0
"""An output that has nothing to do with the right one differs by 1.4, so beyond that the tolerance says nothing. A
model quantised badly comes there (.92 was seen between its kernels): its reference kernels alone recognise it."""
LIBRARY: Final = 0.1
"""For delegate libraries, which may compute in 16 bits."""
KERNELS: Final[Mapping[str, str]] = {"plain": NO_DELEGATE, "reference": REFERENCE}
"""The delegate behind each word of a manifest."""

Answers = Mapping[str, tuple[Answer, ...]]
Open = Callable[[str], ModelDetector]
"""Opens the model with the named delegate alone."""

_FINEST: Final = 512
"""Cells of noise along the longer side, at most: enough for every network's first layers, and little memory."""
_COARSE: Final = (3, 6, 12, 24)
_FIGURES: Final = 24
_MEND: Final = "Make the release again from the file that was meant."


def pictures(width: int, height: int) -> dict[str, Image]:
    """The golden pictures by name: uint8 (height, width, 3), BGR; whole-number arithmetic that no library changes.

    They are made at the size of the model's input, since resizing differs between libraries.
    """
    return {
        "noise": _noise(width, height, max(1, max(width, height) // _FINEST), 1),
        "blocks": _blocks(width, height, 2),
        "figures": _figures(width, height),
    }


def answer(detector: ModelDetector) -> dict[str, tuple[Answer, ...]]:
    """What a model says of each picture.

    Raises:
        InferenceFailed: It failed, or an output was not finite.
    """
    size = detector.manifest.input
    return {name: _answer_to(detector, picture) for name, picture in pictures(size.width, size.height).items()}


def make_golden(opened: Open) -> Golden:
    """The golden answers of a model that is known to be sound, and how far its kernels lie apart here.

    Raises:
        VisionError: The plain kernels can't run it.
    """
    plain = _answer_of(opened, NO_DELEGATE)
    others = [plain]
    # What XNNPACK refuses runs on the plain kernels alone, here and on devices.
    with contextlib.suppress(DelegateFailed):
        others.append(_answer_of(opened, XNNPACK))
    apart = max(_distance(plain, other) for other in others)
    if apart <= CLOSE:
        return Golden(pictures=SET, kernels="plain", tolerance=SAME, answers=plain)
    reference = _answer_of(opened, REFERENCE)
    apart = max(apart, *(_distance(reference, other) for other in others))
    tolerance = round(min(max(MARGIN * apart, SAME), LOOSEST), 4)
    return Golden(pictures=SET, kernels="reference", tolerance=tolerance, answers=reference)


def recognise(golden: Golden, detector: ModelDetector, opened: Open, *, library: bool = False) -> None:
    """Hold a model, as this device runs it, against the answers of its release.

    1. Where it lies within `SAME` of them, it is the model, rightly computed.
    2. Where it lies beyond the release's tolerance, this runtime computes something else, or it is another model.
    3. Between the two, the kernels that the answers came from decide whether it is the model.

    One picture that shows a difference is enough: after it, none is asked about.

    Args:
        golden: From the manifest.
        detector: The model as it is to run.
        opened: For the third step.
        library: It runs on a delegate library.

    Raises:
        ManifestInvalid: The answers differ, or are of a set that is not known here.
        InferenceFailed: It failed, or an output was not finite.
    """
    if golden.pictures != SET:
        raise ManifestInvalid(
            f"golden: its answers are to the pictures of set {golden.pictures}, this program has set {SET}",
            "Update the program first.",
        )
    size = detector.manifest.input
    known = pictures(size.width, size.height)
    if unknown := [name for name in golden.answers if name not in known]:
        raise ManifestInvalid(f"golden: there is no golden picture named '{unknown[0]}'", _MEND)
    tolerance = max(golden.tolerance, LIBRARY if library else SAME)
    same = True
    for name, wanted in golden.answers.items():
        found = _answer_to(detector, known[name])
        if (differs := _difference(name, wanted, found, tolerance)) is not None:  # 2
            raise ManifestInvalid(f"golden: {differs}", _MEND)
        same = same and _difference(name, wanted, found, SAME) is None
    if same:  # 1
        return
    with contextlib.closing(opened(KERNELS[golden.kernels])) as exact:  # 3
        for name, wanted in golden.answers.items():
            if (differs := _difference(name, wanted, _answer_to(exact, known[name]), SAME)) is not None:
                raise ManifestInvalid(f"golden: on the {golden.kernels} kernels, {differs}", _MEND)


def _answer_of(opened: Open, delegate: str) -> dict[str, tuple[Answer, ...]]:
    detector = opened(delegate)
    try:
        return answer(detector)
    finally:
        detector.close()


def _answer_to(detector: ModelDetector, picture: Image) -> tuple[Answer, ...]:
    return tuple(_sketch(reading) for reading in detector.readings(picture))


def _difference(name: str, golden: Sequence[Answer], found: Sequence[Answer], tolerance: float) -> str | None:
    """Where two answers to the picture of that name differ by more than the tolerance, in words."""
    if [len(each.sums) for each in golden] != [SUMS] * len(found):
        return f"'{name}' is answered by {len(golden)} parts of outputs, the model has {len(found)}"
    for place, (one, other) in enumerate(zip(golden, found, strict=True), 1):
        apart = _apart(one, other)
        if not apart <= tolerance:
            return (
                f"part {place} of the outputs differs from its release's by {apart:.2g} spreads on the golden "
                f"picture '{name}', more than {tolerance:g}"
            )
    return None


def _distance(some: Answers, others: Answers) -> float:
    return max(_apart(one, other) for name, of in some.items() for one, other in zip(of, others[name], strict=True))


def _apart(golden: Answer, found: Answer) -> float:
    """Root mean square of the difference of all values, as the sums tell it, in spreads of the first."""
    scale = found.spread / golden.spread
    squares = [(one - other * scale) ** 2 for one, other in zip(golden.sums, found.sums, strict=True)]
    return math.sqrt(sum(squares) / len(squares))


def _sketch(reading: FloatArray) -> Answer:
    values = reading.reshape(-1).astype(np.float64)
    spread = float(values.std()) if values.size else 0.0
    if not math.isfinite(spread):
        raise InferenceFailed("an output is not finite on a golden picture", "Replace the model.")
    # What computing a deviation leaves of values that are all the same is no measure of anything.
    if spread <= 1e-9 * float(np.abs(values).max(initial=0.0)):
        spread = 1.0
    signs = _hash(values.size, 0)
    scale = spread * math.sqrt(max(1, values.size))
    sums = []
    for bit in range(SUMS):
        added = np.where((signs >> np.uint32(bit)) & np.uint32(1), values, -values).sum()
        sums.append(round(float(added) / scale, 5))
    return Answer(spread=float(f"{spread:.7g}"), sums=tuple(sums))


def _hash(count: int, seed: int) -> npt.NDArray[np.uint32]:
    """uint32 (count,): what numpy's own generators promise for one version only (C. Wellons, lowbias32)."""
    mixed = np.arange(count, dtype=np.uint32) + np.uint32((seed * 0x9E3779B9) & 0xFFFFFFFF)
    mixed ^= mixed >> np.uint32(16)
    mixed *= np.uint32(0x7FEB352D)
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x846CA68B)
    mixed ^= mixed >> np.uint32(16)
    return mixed


def _noise(width: int, height: int, cell: int, seed: int) -> Image:
    rows, columns = -(-height // cell), -(-width // cell)
    levels = (_hash(rows * columns * 3, seed) & np.uint32(255)).astype(np.uint8).reshape(rows, columns, 3)
    return levels.repeat(cell, 0).repeat(cell, 1)[:height, :width]


def _blocks(width: int, height: int, seed: int) -> Image:
    """Noise of several sizes, one over the other."""
    total = np.zeros((height, width, 3), np.uint16)
    for number, cells in enumerate(_COARSE):
        total += _noise(width, height, max(1, max(width, height) // cells), seed + number)
    return (total // len(_COARSE)).astype(np.uint8)


def _figures(width: int, height: int) -> Image:
    """Boxes, ellipses, and heads on shoulders, large ones first: it takes shapes to wake the later layers."""
    canvas: Image = _blocks(width, height, 103) // 2 + 40
    places = _hash(_FIGURES * 8, 10).astype(np.int64).reshape(_FIGURES, 8)
    for number, (x, y, tall, *colour) in enumerate(places[:, :6].tolist()):
        share = 1 + _FIGURES - number
        half_width = max(2, width * share // (_FIGURES * 8))
        half_height = max(2, height * share * (1 + tall % 3) // (_FIGURES * 8))
        at_x, at_y = x % width, y % height
        reach = max(half_height, 4 * half_width)
        top, left = max(0, at_y - reach), max(0, at_x - reach)
        rows, columns = np.indices((min(height, at_y + reach) - top, min(width, at_x + reach) - left))
        down, across = rows + top - at_y, columns + left - at_x
        match number % 3:
            case 0:
                body = (abs(across) < half_width) & (abs(down) < 2 * half_width)
                inside = body | (across**2 + (down + 3 * half_width) ** 2 < half_width**2)
            case 1:
                inside = (across * half_height) ** 2 + (down * half_width) ** 2 < (half_width * half_height) ** 2
            case _:
                inside = (abs(across) < half_width) & (abs(down) < half_height)
        patch = canvas[top : top + len(rows), left : left + rows.shape[1]]
        patch[inside] = np.array(colour, np.int64).astype(np.uint8)
    return canvas
