"""The keys of SlurmConfig.yaml in groups, which are the headings of docs/configuration.md.

A check that looks at two keys belongs to the one that is declared later, and so runs where others are wrong.
"""
