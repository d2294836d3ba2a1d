"""``sermo-fsm history``: the rows of one chat."""

from functools import partial

import click

from sermo_fsm.cli.options import (
    MAX_ROWS,
    ChatSelector,
    after_option,
    bodies_option,
    chat_options,
    csv_option,
    database_option,
    json_or_bodies_option,
    limit_option,
    zone_option,
)
from sermo_fsm.cli.shell import Shell
from sermo_fsm.core.history import ROW_KEYS, HistoryRow

__all__ = ["history"]


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm history comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690
      sermo-fsm history --session 5f2c0f2e-... --bodies --json

    What people wrote is left out unless you ask for it: without --bodies, "event" is null in JSON.
    """
)
@chat_options
@bodies_option
@after_option("seq", MAX_ROWS)
@limit_option
@zone_option
@database_option
@csv_option
@json_or_bodies_option
@click.pass_obj
def history(  # noqa: PLR0913 - one for each option
    shell: Shell,
    *,
    platform: str | None,
    user: str | None,
    session_id: str | None,
    bodies: bool,
    after: int | None,
    limit: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what happened in a chat, row by row.

    The chat is the last one of a user, or the session with this id.
    """
    chat = ChatSelector(platform, user, session_id)
    with shell.engine() as engine:
        session = chat.find(engine)
        if session is None:
            shell.report_not_found(f"no such {chat}", as_json=as_json)
            return
        rows = engine.history(session.session_id, after=after, limit=limit)
        shell.print_list(
            rows,
            ROW_KEYS,
            partial(HistoryRow.as_dict, bodies=bodies),
            partial(shell.printer.print_history, bodies=bodies),
            as_json=as_json,
            as_csv=as_csv,
        )
