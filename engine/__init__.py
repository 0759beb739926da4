"""Vocals and a timeline in, accompaniment stems out. Numpy and onnxruntime only: no torch, no sockets, no devices."""
