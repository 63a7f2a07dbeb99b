"""Slurm commands, options and messages: the command beside the parser of its output."""
