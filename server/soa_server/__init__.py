"""The front ends of SoA: the language server (`lsp`) and the command line (`cli`)."""
