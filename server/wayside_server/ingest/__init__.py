"""From MQTT to a committed row and its acknowledgement."""
