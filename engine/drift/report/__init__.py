"""The report on a camera or a recording: has it changed, and does it look like what the model was trained on."""
