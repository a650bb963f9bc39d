"""``python -m fieldscape``."""

from fieldscape.cli import main

main()
