"""Benchmarks of whole jobs: problems, how they are put to the agents, what comes of them."""
