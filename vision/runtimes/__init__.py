"""Adapters of `vision.runtime.Runtime`, each of which imports its library only when a model is opened."""
