"""The command line `soa` and what it prints.

`main` finds the command, `exits` ends it, one module a command does the work; `jobs` runs a job in this
process, `board` shows its agents, `demo` plays an editor's part to the real server.
"""
