"""The mathematics: noise levels, what a network's output means, samplers.  Knows no network, no file."""
