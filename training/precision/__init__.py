"""The same network in other numbers: fp16, bf16, or int8 with measured ranges."""
