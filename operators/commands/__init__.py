"""Commands of operators, sources and sinks: one module a noun, each with `register(app)`."""
