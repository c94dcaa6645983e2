"""`vedette demo`: the cloud service and two agents on this machine, on real video, until stopped."""
