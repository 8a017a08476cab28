"""A trained network leaves Python: read as a plan of plain steps, written as ONNX, as C and as one NumPy file."""
