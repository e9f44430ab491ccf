"""Pure logic of the server and the Protocols it needs; no I/O."""
