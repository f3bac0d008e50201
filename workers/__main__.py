"""``python -m workers``: what ``deskgate worker`` becomes."""

from workers.cli import main

main()
