"""What NVIDIA's libraries need, shared by the operators that use them: CUDA, TensorRT and their kernels."""
