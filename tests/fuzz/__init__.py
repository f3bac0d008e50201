"""Random requests over raw sockets: whatever comes, a gateway answers with an envelope or closes cleanly.

``make fuzz`` sends a million of them; ``test_fuzz.py`` sends 20,000 in the suite. The same seed gives the
same requests.
"""
