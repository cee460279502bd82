"""What an agent sees: chosen by the map, bounded, rendered into its prompt."""
