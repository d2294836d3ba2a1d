"""``python -m sermo_fsm`` runs ``sermo-fsm``."""

from sermo_fsm.cli import main

main(prog_name="sermo-fsm")
