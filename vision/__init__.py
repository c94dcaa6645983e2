"""Pixels to tensors, tensors to detections: what the device and the cloud both need to run a model file.

Shared by both sides so that a model means the same on each (docs/adr/0002). It knows no camera, network or clock.
"""
