"""Words, titles, addresses."""
