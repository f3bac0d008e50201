"""``python -m gateway`` is ``deskgate``."""

from gateway.cli import main

main(prog_name="deskgate")
