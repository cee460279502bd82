"""The SoA engine: functions as agents, checked by the workspace's own tests.

It knows no LSP, no editor and no terminal; the front ends in `soa_server` use it.
"""
