"""From an ONNX graph to PyTorch: read it, find a function for each node, run them, and capture that as CUDA graphs."""
