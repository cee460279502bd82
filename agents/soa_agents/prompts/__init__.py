"""What is said to a model: one Markdown template a step, rendered strictly."""
