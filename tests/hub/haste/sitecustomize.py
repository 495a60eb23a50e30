"""Shortens every pause of a process that finds this folder first on PYTHONPATH.

The Hub's client pauses 23 seconds in all before it believes that a server is down. The tests are about what happens
then, not about the waiting.
"""

import time

_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.01))
