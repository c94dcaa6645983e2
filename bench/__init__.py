"""Benchmarks and accuracy: figures that are measured here and now, as ratios where a ratio can be had."""
