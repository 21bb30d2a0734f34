"""Compiled programs: what a graph is lowered to, and how that is run.

`lower` reads the interpreter's steps and makes operations of them; `segments` orders these into runs for one call of
C each, with Python between; `plan` binds a segment to the shapes of its inputs; `run` holds it all together.
"""
