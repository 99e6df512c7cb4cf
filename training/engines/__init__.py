"""TensorRT engines of a bundle: built, compared with the ONNX model, and only then put in."""
