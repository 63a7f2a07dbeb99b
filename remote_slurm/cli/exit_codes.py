"""Exit codes of commands that a signal has ended, as a shell reports them: 128 and the signal's number."""

INTERRUPTED = 130  # SIGINT
BROKEN_PIPE = 141  # SIGPIPE
