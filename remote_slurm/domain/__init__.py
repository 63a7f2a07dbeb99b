"""What a pod means in Slurm's words: values in, values out.

Nothing here does I/O, reads a clock or logs: it can be tested with tables and read like a specification.
"""
