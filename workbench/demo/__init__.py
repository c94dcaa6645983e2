"""`vedette demo`: the cloud service and some agents on this machine, on real video, until stopped."""
