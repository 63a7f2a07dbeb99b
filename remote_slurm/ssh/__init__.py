"""One SSH connection to a login node: its sessions, host keys, authentication and framing."""
