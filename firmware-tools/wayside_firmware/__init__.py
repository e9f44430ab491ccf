"""Tools around the boards: the simulated board, the demonstration."""
