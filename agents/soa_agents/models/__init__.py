"""Who writes: the Model port and its adapters."""
