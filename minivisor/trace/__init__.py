"""The trace of a run: typed records, cheap to append, read by every view, grader and test.

`records` says what a row means, `store` keeps them (a ring with a digest that forgets nothing), `file` saves and loads
them without trusting the file, `table` counts them for people. A view reads a trace and never the machine.
"""
