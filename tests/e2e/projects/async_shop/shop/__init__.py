"""A small shop whose orders are taken concurrently."""
