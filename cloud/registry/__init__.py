"""The models that the fleet may run, and the signed repository that vouches for them; see docs/threat-model.md."""
