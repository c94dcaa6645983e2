"""What can go wrong in the cloud; message errors are in `wire.errors`, model errors in `vision.errors`.

CloudError
├── SettingsInvalid          names the key and the mend
├── StartRefused
│   ├── BindRefused          not loopback, and plain text was not allowed
│   ├── NobodyMayLogIn       a login is asked for, and no operator is there
│   ├── PortTaken            something else listens there
│   ├── DataDirInUse         another service works in the data directory
│   ├── DataDirUnusable      it can't be made or written
│   ├── BrokerMissing        the broker's program is not installed
│   └── BrokerFailed         it does not come up; carries its last words
├── StoreError
│   ├── StoreFailed          the database refused
│   ├── StoreNewer           the database was written by a newer program
│   ├── BlobMissing          nothing under that key
│   └── BlobFailed           the disk refused, or the key is malformed
├── LinkError
│   ├── LinkLost             the broker went away; what was not acknowledged comes again
│   └── LinkRefused          the broker refused a subscription
├── HomeError
│   ├── HomeLost             Home Assistant's broker can't be reached, or went away
│   ├── HomeRefused          it does not let the service in, or not do what it must
│   └── OrderRefused         what was asked from Home Assistant may not be asked, or makes no sense
├── PushError
│   ├── PushFailed           the receiver can't be reached or is in trouble: to be tried again
│   └── PushRefused          the receiver does not take it: trying again is no use
├── FleetError
│   ├── DeviceExists         enrolled already
│   ├── DeviceUnknown        never enrolled
│   └── AlertForeign         an alert under an id that belongs to another device
├── RolloutError
│   ├── RolloutOpen          another rollout is not over in the group
│   └── RolloutRefused       it can't be started, or not do what is wanted of it; says why
├── OutputRefused            what a command prints can't be written
├── ExportFailed             the folder can't be written, or is no place for a data set
├── NotFound                 no such thing behind this address
└── HostRefused              the request names a host that is not this service
"""

from __future__ import annotations

from wire.errors import VedetteError


class CloudError(VedetteError):
    """Something went wrong in the cloud."""


class SettingsInvalid(CloudError):
    """The settings can't be used."""


class StartRefused(CloudError):
    """The service can't start."""


class BindRefused(StartRefused):
    """The address is not loopback, and plain text was not allowed."""


class NobodyMayLogIn(StartRefused):
    """A login is asked for, and no operator is there."""


class PortTaken(StartRefused):
    """Something else listens there."""


class DataDirInUse(StartRefused):
    """Another service works in the data directory."""


class DataDirUnusable(StartRefused):
    """The data directory can't be made or written."""


class BrokerMissing(StartRefused):
    """The broker's program is not installed."""


class BrokerFailed(StartRefused):
    """The broker does not come up."""


class StoreError(CloudError):
    """Something can't be kept or found."""


class StoreFailed(StoreError):
    """The database refused."""


class StoreNewer(StoreError):
    """The database was written by a newer program."""


class BlobMissing(StoreError):
    """There is nothing under that key."""


class BlobFailed(StoreError):
    """The disk refused, or the key is malformed."""


class LinkError(CloudError):
    """The way to the devices is closed."""


class LinkLost(LinkError):
    """The broker can't be reached, or went away."""


class LinkRefused(LinkError):
    """The broker refused."""


class HomeError(CloudError):
    """Something is wrong between the service and Home Assistant."""


class HomeLost(HomeError):
    """Home Assistant's broker can't be reached, or went away."""


class HomeRefused(HomeError):
    """Home Assistant's broker does not let the service in, or not do what it must."""


class OrderRefused(HomeError):
    """What was asked from Home Assistant may not be asked, or makes no sense."""


class PushError(CloudError):
    """A push was not delivered."""


class PushFailed(PushError):
    """The receiver can't be reached, or is in trouble: to be tried again."""


class PushRefused(PushError):
    """The receiver does not take it: trying again is no use."""


class FleetError(CloudError):
    """Something is wrong with a device's enrolment or ownership."""


class DeviceExists(FleetError):
    """The device is enrolled already."""


class DeviceUnknown(FleetError):
    """There is no device of that id."""


class AlertForeign(FleetError):
    """The alert's id belongs to another device."""


class RolloutError(CloudError):
    """A rollout can't do what is wanted."""


class RolloutOpen(RolloutError):
    """Another rollout is not over in the group."""


class RolloutRefused(RolloutError):
    """The rollout can't be started, or is not where the wish could be granted."""


class OutputRefused(CloudError):
    """What a command prints can't be written."""


class ExportFailed(CloudError):
    """A data set can't be written."""


class NotFound(CloudError):
    """There is no such thing."""


class HostRefused(CloudError):
    """The request names a host that is not this service."""
