"""The worker: reads the queues from a broker and keeps the database true.

``sermo-fsm worker`` runs it. :mod:`~sermo_fsm.worker.source` says what a broker has to provide, and
:mod:`~sermo_fsm.worker.loop` what is done with it. How it is run is told in ``docs/worker.md``.
"""
