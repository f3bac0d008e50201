"""The history of sessions: how callbacks were answered, and what backends said, for people who ask why.

=================  ======================================================================================
``entries.py``     the entries: what is kept of a callback, and of a lookup that was asked for. Pure
``values.py``      what is kept of values, without what is hidden. Pure
``making.py``      makes entries of events. Pure
``series.py``      how many callbacks and calls ended how, and how fast, in each ten seconds. Pure
``counting.py``    adds them to those of the whole fleet
``recorder.py``    an instrument: notes events, and writes their entries behind the callbacks
``reading.py``     reads them back
=================  ======================================================================================
"""
