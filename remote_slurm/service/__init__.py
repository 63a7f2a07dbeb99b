"""What the sidecar remembers and decides: pods, polls, deletes that must be carried out.

No HTTP and no SSH here: it is asked by `api`, and asks a `Site`.
"""
