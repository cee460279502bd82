"""The workspace as plain values: texts, functions, who calls whom, which tests mention what."""
