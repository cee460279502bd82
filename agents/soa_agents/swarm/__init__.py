"""The engine's core: events, state, views, replies, assembly, and the one loop."""
