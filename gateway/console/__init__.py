"""The console: a page on the admin port, for people who watch a deployment and ask why a bot said something.

====================  ===================================================================================
``pages.py``          its paths: who may see them, and what they return
``rights.py``         tokens, the cookie, and where a request may come from. Pure
``files.py``          the page itself: its files, with the headers that browsers are to keep to
``overview.py``       how the deployment stands, with five minutes of charts
``callbacks.py``      the latest callbacks of the fleet, as the history has them
``streams.py``        what is sent to browsers as it comes: server-sent events
``configuration.py``  the configuration as it runs, without secrets. Pure
``trial.py``          one lookup asked once, in a process of its own
``actions.py``        what an operator may do
====================  ===================================================================================

It stands on what the commands stand on: ``status``, ``explain``, ``try`` and ``forget``. A gateway is handed
it by the command line, and knows only that it answers paths.
"""
