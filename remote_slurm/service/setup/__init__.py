"""`init`: from an address to a SlurmConfig.yaml that passes `check`."""
