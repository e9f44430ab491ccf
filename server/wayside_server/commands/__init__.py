"""Commands of wayside-server that have more than a few lines; each module adds its own to the command line."""
