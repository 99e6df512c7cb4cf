"""Everything that knows Ray: actors, placement, supervision, and the demo that runs on them."""
