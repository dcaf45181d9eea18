"""How tests kill a program: under `make coverage` by a signal at which it writes down what it has run before it kills itself (tests/lib/cover.c)."""
import os
import signal

KILL = signal.SIGRTMIN + 5 if os.environ.get("DROVER_COVER") else signal.SIGKILL
