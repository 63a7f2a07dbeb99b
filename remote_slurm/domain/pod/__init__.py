"""A pod as interLink sends it: its fields, and their meaning in Kubernetes."""
