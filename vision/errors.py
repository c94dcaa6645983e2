"""What can be wrong with a model.

VisionError
├── ModelMissing         no such file
├── ModelUnreadable      not a TFLite or ONNX file, or cut off, or its structure points outside itself
├── ModelRefused         a sound file, but no output kind fits its tensors, or the manifest contradicts them
├── ManifestInvalid      the manifest's JSON or a field of it
├── RuntimeMissing       no runtime is installed that can run it
├── DelegateFailed       a delegate library could not be loaded or refused the model
├── InferenceFailed      a run of the model failed, or gave what is not finite
├── ProofFailed          the process that ran it apart crashed, or hung
│   └── ProofNotStarted  it could not be started, or ended before it turned to the model
└── PictureUnreadable    not a JPEG, or one too large to decode safely
"""

from __future__ import annotations

from wire.errors import VedetteError


class VisionError(VedetteError):
    """Something is wrong with a model or a picture."""


class ModelMissing(VisionError):
    """There is no such file."""


class ModelUnreadable(VisionError):
    """The bytes are not a model."""


class ModelRefused(VisionError):
    """The model is sound, but not one whose tensors we can read; says what was seen."""


class ManifestInvalid(VisionError):
    """The manifest breaks its contract."""


class RuntimeMissing(VisionError):
    """No installed runtime can run the model."""


class DelegateFailed(VisionError):
    """A delegate could not be loaded, or refused the model."""


class InferenceFailed(VisionError):
    """A run of the model failed."""


class ProofFailed(VisionError):
    """A model that was run in a process of its own brought that process down, or to a halt."""


class ProofNotStarted(ProofFailed):
    """The process could not be started, or ended before it turned to the model: that says nothing of the model."""


class ProofKilled(ProofFailed):
    """SIGKILL ended the process, and not from here; who sent it is not known."""


class PictureUnreadable(VisionError):
    """The bytes are not a picture that can be decoded safely."""
