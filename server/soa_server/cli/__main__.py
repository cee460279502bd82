"""`python -m soa_server.cli` is `soa`, wherever the executables were put."""

from soa_server.cli.main import main

main()
