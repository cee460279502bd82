"""The projects' own tests are theirs to run, not this suite's."""

collect_ignore = ["projects"]
