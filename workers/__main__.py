"""``python -m workers``: the process of ``deskgate worker``."""

from workers.cli import main

main()
