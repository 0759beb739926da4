"""torch -> ONNX bundle: graphs, parity, storage."""
