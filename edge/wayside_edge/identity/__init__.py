"""Who this device is: its key and certificates, how they are renewed, and how they are wiped."""
