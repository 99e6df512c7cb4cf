"""Drift: whether a camera still looks as it did, and as what its model was trained on."""
