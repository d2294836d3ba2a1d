"""``sermo-fsm export person``: all that is stored about one person."""

import os
from pathlib import Path

import click

from sermo_fsm.cli.atomic_file import atomic_write
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import database_option, json_option, utf8_id
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.export.person import PersonArchive

__all__ = ["person"]


@click.command(
    epilog="""
    The ZIP has person.json, transcript.html to read, and the pictures. Nothing about anybody else
    is in it: of agents only their ids, unless you ask for --agents.

    \b
    Examples
      sermo-fsm export person comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690 -o them.zip
    """
)
@click.argument("platform", type=utf8_id)
@click.argument("user", type=utf8_id)
@click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to FILE, which only you may read.",
)
@click.option("--agents", is_flag=True, help="Include the names of agents.")
@database_option
@json_option
@click.pass_obj
def person(
    shell: Shell, *, platform: str, user: str, path: Path, agents: bool, as_json: bool
) -> None:
    """Write all that is stored about one person, to hand it over.

    That is every chat of USER on PLATFORM with its history, what was written and sent in it, and
    every event that belongs to no chat and names the user.
    """
    if path.suffix.casefold() not in {"", ".zip"}:
        raise click.BadParameter("wanted a name that ends in .zip", param_hint="'--output'")
    with shell.engine() as engine:
        found = engine.person(platform, user)
        if found is None:
            shell.report_not_found(f"nothing of user: {user} on {platform}", as_json=as_json)
            return
        with atomic_write(path) as file, PersonArchive(found, file, agents=agents) as archive:
            if Path(file.name).is_file():  # and no pipe
                os.chmod(file.name, 0o600)  # noqa: PTH101 - beside its use
            for picture in found.pictures:
                archive.add(picture, engine.picture(picture.key))
    counts = {
        "chats": len(found.chats),
        "rows": sum(len(chat.rows) for chat in found.chats),
        "strays": len(found.strays),
        "pictures": len(found.pictures),
    }
    if as_json:
        print_json({"file": str(path), **counts})
        return
    words = (pluralized(count, name.removesuffix("s")) for name, count in counts.items())
    shell.printer.print_line(", ".join(words))
