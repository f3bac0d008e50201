"""The platforms' own words: verified, decoded and encoded here, and known nowhere else.

A further dialect is a file beside ``desk.py``. The line below chooses the one that a gateway speaks.
"""

from gateway.front.dialects.desk import DESK
from gateway.front.dialects.dialect import Dialect

DIALECT: Dialect = DESK
