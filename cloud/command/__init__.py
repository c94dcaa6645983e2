"""Commands to devices: kept until they are answered or expire, sent while the device is there."""
