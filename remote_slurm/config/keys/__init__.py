"""The keys of SlurmConfig.yaml in groups, which are the headings of docs/configuration.md.

A check of two keys belongs to the one that is declared later, so that it also runs if other keys are invalid.
"""
