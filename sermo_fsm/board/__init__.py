"""A board to look at in a browser: who waits, since when, and what became of one chat.

>>> from sermo_fsm.board import app
>>> board = app(engine)  # an ASGI application, to be mounted in the host's or served by itself
"""

try:
    from sermo_fsm.board.application import app
except ImportError as error:
    raise ImportError(f"the board needs: pip install 'sermo-fsm[board]' ({error})") from error

__all__ = ["app"]
