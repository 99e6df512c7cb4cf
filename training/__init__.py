"""The offline module: from footage and labels to model bundles, and the judges of results. Nobody imports it."""

import os

# Read by OpenMP when PyTorch loads it. Threads that wait for each other in a loop keep the processes that read
# pictures, and each other, from the cores: on two busy cores a training step took 18 s instead of 1.1 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
