"""Linking detections to the objects of earlier frames. Pure: time is passed in."""

from agent.track.settings import TrackSettings
from agent.track.standing import standing
from agent.track.tracker import Tracker

__all__ = ["TrackSettings", "Tracker", "standing"]
