"""`check`: each step from the configuration to a container on a node, and what to do about one that fails."""
