"""The MQTT session: publishing what the outbox holds until the server has acknowledged it."""
