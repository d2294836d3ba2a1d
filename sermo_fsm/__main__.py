"""``python -m sermo_fsm`` is ``sermo-fsm``."""

from sermo_fsm.cli import main

main(prog_name="sermo-fsm")
