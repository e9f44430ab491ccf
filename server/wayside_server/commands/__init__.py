"""What people type that needs more than a line: each module here belongs to one command of wayside-server."""
