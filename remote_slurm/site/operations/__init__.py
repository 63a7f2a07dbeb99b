"""One remote script per operation: `NAME.sh` runs at the login node, `NAME.py` builds its input and parses its reply.

A script gets its values as quoted assignments in front of it. A longer input is its payload, whose last line marks it
as complete. Its reply is the lines that start with `>`. `root.sh` comes first in every script.
"""
