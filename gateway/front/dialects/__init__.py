"""Dialects: the field names of each platform, which no other room knows.

A further dialect is a file beside ``desk.py``. The line below chooses the dialect that a gateway speaks.
"""

from gateway.front.dialects.desk import DESK
from gateway.front.dialects.dialect import Dialect

DIALECT: Dialect = DESK
