"""What can go wrong with releases, their keys and their repository; model errors are in `vision.errors`.

RegistryError
├── RegistryMissing       no repository here yet
├── RegistryBroken        its files don't verify, or can't be read
├── RegistryUnwritable    the disk refused a write or a read; what was published stays as it was
├── CeremonyRefused       keys or a repository are there already
├── KeyMissing            a key that is needed is in none of the folders
├── KeyUnusable           a key file can't be read with that passphrase
├── ReleaseUnknown        no such release, or not as far as it must be
├── ReleaseExists         the name and version are another file's
├── ReleaseConflict       another release was published meanwhile; sign again
├── GroupUnknown          no key signs for this group
├── GroupRefused          the document would break a promise to the devices
├── GroupExists           the group has its key
├── SourceRefused         what was to be imported is no release
├── TrialFailed           the model crashed, or took too long, in the process that tried it
├── MlflowFailed          MLflow is not installed, or refused
├── EvaluationSetRefused  an evaluation set is none: it labels nothing, or is too large
│   ├── LabelsUnreadable  the labels are neither COCO's JSON nor MOT's lines
│   ├── PictureAbsent     labels for a picture that is not there
│   ├── PictureTorn       a picture that is cut off, or none
│   ├── BoxOutside        a box that is not in its picture
│   └── ClassUnknown      a box of a class that the labels don't name
├── EvaluationSetExists   the name is another set's
├── EvaluationSetUnknown  no such set
└── EvaluationFailed      the model crashed, hung, or knows none of the set's labels
"""

from __future__ import annotations

from cloud.errors import CloudError


class RegistryError(CloudError):
    """Something is wrong with releases, their keys or their repository."""


class RegistryMissing(RegistryError):
    """There is no repository yet."""


class RegistryBroken(RegistryError):
    """The repository's files don't verify, or can't be read."""


class RegistryUnwritable(RegistryError):
    """The disk refused."""


class CeremonyRefused(RegistryError):
    """Keys or a repository are there already."""


class KeyMissing(RegistryError):
    """A key that is needed is in none of the folders."""


class KeyUnusable(RegistryError):
    """A key file can't be read."""


class ReleaseUnknown(RegistryError):
    """There is no such release, or it is not as far as it must be."""


class ReleaseExists(RegistryError):
    """The name and version are another file's."""


class ReleaseConflict(RegistryError):
    """What was signed no longer fits what is published."""


class GroupUnknown(RegistryError):
    """No key signs for this group."""


class GroupRefused(RegistryError):
    """The document would break a promise to the devices."""


class GroupExists(RegistryError):
    """The group has its key."""


class SourceRefused(RegistryError):
    """What was to be imported is no release."""


class TrialFailed(RegistryError):
    """The model crashed, or took too long, in the process that tried it."""


class MlflowFailed(RegistryError):
    """MLflow is not installed, or refused."""


class EvaluationSetRefused(RegistryError):
    """What was to be an evaluation set is none."""


class LabelsUnreadable(EvaluationSetRefused):
    """The labels are neither COCO's JSON nor MOT's lines."""


class PictureAbsent(EvaluationSetRefused):
    """There are labels for a picture that is not there."""


class PictureTorn(EvaluationSetRefused):
    """A picture is cut off, or is none."""


class BoxOutside(EvaluationSetRefused):
    """A box is not in its picture."""


class ClassUnknown(EvaluationSetRefused):
    """A box is of a class that the labels don't name."""


class EvaluationSetExists(RegistryError):
    """The name is another set's."""


class EvaluationSetUnknown(RegistryError):
    """There is no such evaluation set."""


class EvaluationFailed(RegistryError):
    """The model could not be run over the set."""
