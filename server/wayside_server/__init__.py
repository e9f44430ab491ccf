"""The server: it stores each sample once, proves it, and gives it back."""
