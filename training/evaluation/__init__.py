"""The judges: one module a noun (`detections`, `tracks`, `flow`, `events`), each with `register(app)`."""
