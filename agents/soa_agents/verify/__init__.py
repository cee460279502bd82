"""What passes: running the workspace's tests on an overlay, in a sandbox."""
