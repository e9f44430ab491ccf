"""What the agent says of itself: named events with their counters and log lines."""
