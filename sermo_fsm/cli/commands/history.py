"""``sermo-fsm history``: the rows of one chat."""

import click

from sermo_fsm.cli.options import (
    MAX_ROWS,
    ChatSelector,
    after_option,
    chat_options,
    database_option,
    json_option,
    limit_option,
)
from sermo_fsm.cli.shell import Shell
from sermo_fsm.views.json_views import row_view

__all__ = ["history"]


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm history comviq-web 3f0b7c52-6a1e-4d0f-9b8e-51c7a2d4e690
      sermo-fsm history --session 5f2c0f2e-... --json
    """
)
@chat_options
@after_option("seq", MAX_ROWS)
@limit_option
@database_option
@json_option
@click.pass_obj
def history(
    shell: Shell,
    *,
    platform: str | None,
    user: str | None,
    session_id: str | None,
    after: int | None,
    limit: int | None,
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
        shell.print_list(rows, row_view, shell.printer.print_history, as_json=as_json)
