"""The only place that touches buses: I2C through smbus2 or a simulated board."""
