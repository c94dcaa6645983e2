"""Which model judges frames, and what may run it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from agent.settings import Settings
from vision.runtime import NO_DELEGATE, XNNPACK

Name = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class LibraryDelegate(Settings):
    """A delegate library and its options, such as `libedgetpu.so.1` with `device = "usb:0"`.

    Attributes:
        library: Its path, or a name that the system's loader finds.
        options: What the library itself understands.
    """

    library: Name
    options: Annotated[dict[str, str], Field(max_length=64)] = Field(default_factory=dict)


class DetectSettings(Settings):
    """The detector.

    Attributes:
        model: `default`, a model's name, or the path of a model file or its folder.
        threads: For one inference; a second brings nothing at the default model's size.
        delegates: Preferred first: `xnnpack`, `none`, or the path of a delegate library, as text or as a table with
            its options. One that fails is reported, and the next one tried.
        runtimes: Preferred first; one that is not installed is passed over.
    """

    model: Name = "default"
    threads: Annotated[int, Field(ge=1, le=16)] = 1
    delegates: Annotated[tuple[Name | LibraryDelegate, ...], Field(min_length=1, max_length=8)] = (
        XNNPACK,
        NO_DELEGATE,
    )
    runtimes: Annotated[tuple[Literal["litert", "tflite-runtime"], ...], Field(min_length=1, max_length=2)] = (
        "litert",
        "tflite-runtime",
    )


GOOD_LOOKS: Final = 2.3
"""With the default model: F1 .936 where it has .823 without, at 3.3 inferences a frame (bench.tracking)."""


class LookSettings(Settings):
    """Second looks: parts of a frame that are judged again, at the model's own resolution.

    Attributes:
        per_frame: Looks a frame on average, each as long as an inference; 0: none; "auto": as many as pay by the
            model's manifest, which is 2.3 for the default model and none for NanoDet-g. A scene with nothing worth a
            second look takes none, and a device that can't keep pace takes fewer.
        time_share: Of the time until the next frame comes, how much judging may take before there are fewer looks.
    """

    per_frame: Literal["auto"] | Annotated[float, Field(ge=0.0, le=16.0)] = 0.0
    time_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8

    def with_model(self, pay: float) -> float:
        """Looks a frame with a model for which `pay` of them do."""
        return pay if self.per_frame == "auto" else self.per_frame
