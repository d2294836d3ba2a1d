"""``python -m sermo_fsm`` runs ``sermo-fsm``."""

from sermo_fsm.cli import main

if __name__ == "__main__":  # else somebody looks through the modules of the package
    main(prog_name="sermo-fsm")
