"""The only place that talks to a site: one SSH connection, short shell scripts, one round trip each.

What a pod is, is not known here: scripts and bytes go out, parsed values come back.
"""
