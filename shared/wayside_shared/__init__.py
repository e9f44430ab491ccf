"""What a device and the server must agree on. Pure: nothing here reads a clock, a file or a socket."""

VERSION = "0.1.0"
"""Of everything in this distribution; pyproject.toml takes it from here. `importlib.metadata` would know it too, but
brings the e-mail package along: three megabytes that a board need not carry."""
