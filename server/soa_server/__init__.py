"""The front ends of SoA: the language server (`lsp`) and the command line (`cli`)."""

__version__ = "0.1.0"
