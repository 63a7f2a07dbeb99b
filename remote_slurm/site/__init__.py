"""One account at one site: each operation is a short shell script that runs at the login node, one round trip each.

`Site` is what the service asks, and `RemoteSite` implements it over SSH. Nothing here remembers pods.
"""
