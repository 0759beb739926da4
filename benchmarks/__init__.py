"""Measurements of speed: `python -m benchmarks.speed`."""
