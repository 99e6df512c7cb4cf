"""Commands of the core: one module a noun, each with `register(app)`."""
