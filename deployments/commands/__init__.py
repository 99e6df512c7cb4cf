"""Commands that need Ray: one module a noun, each with `register(app)`."""
