"""Commands of the offline module: one module a noun, each with `register(app)`."""
