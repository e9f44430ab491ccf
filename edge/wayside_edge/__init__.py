"""The agent: it reads sensors, makes samples durable, and gets each of them to the server exactly once."""
