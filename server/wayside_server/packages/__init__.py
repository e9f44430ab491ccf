"""What a board installs, kept by the server: the agent, what it needs, and the script that installs both."""
