"""One folder a chip or source; loaded only when a configuration names it."""
