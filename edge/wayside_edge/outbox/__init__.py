"""Durable store-and-forward: where a sample becomes accepted."""
