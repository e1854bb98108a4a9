"""Before numpy is loaded: one thread for its linear algebra, as jobs have, in tests and in the processes they start.

Matrices are small here, and threads that wait for work spin: they took three times the time of the tests themselves.
"""

import os

from scoring.jobs.executor import ONE_THREAD

os.environ.update(ONE_THREAD)
