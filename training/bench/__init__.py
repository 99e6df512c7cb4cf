"""Compare what can run a detector: backends, devices, precisions and batch sizes, all in one run."""
