"""Container runtimes: how each starts a container, and how images get to the site."""
