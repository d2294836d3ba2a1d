"""How is it called? Two engines, plain and for asyncio, and the one body that both run."""

from sermo_fsm.engine.sync import ChatEngine

__all__ = ["ChatEngine"]
