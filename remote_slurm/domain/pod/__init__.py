"""A pod as interLink sends it: its fields, and what Kubernetes says that they mean."""
