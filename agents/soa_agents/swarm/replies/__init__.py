"""From a reply's text to checked code."""
