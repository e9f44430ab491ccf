"""What a device and the server must agree on. Pure: nothing here reads a clock, a file or a socket."""
