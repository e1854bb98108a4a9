import os
import subprocess
import sys

PROGRAM = """
from scoring.jobs.bench import histories
from scoring.models import bg_nbd, gamma_gamma, lifetime_value, mbg_nbd, pareto_nbd, selection
people = histories(33_000)
x, recency, age, spend = people.x, people.recency, people.age, people.repeat_revenue
print(selection.select(people.split()))
values = gamma_gamma.fit(x[x > 0], spend[x > 0])
print(values, values.covariance.tolist())
for kind in (bg_nbd, mbg_nbd, pareto_nbd):
    purchases = kind.fit(x, recency, age)
    print(purchases, purchases.covariance.tolist())
    for some in (slice(None), slice(1, None, 3)):
        seen = lifetime_value.outlook(purchases, x[some], recency[some], age[some], 52, 0.1)
        print(seen.purchases_deviation[:1].tolist() if some.start is None else "")
        whole = seen if some.start is None else whole
        for name, column in vars(whole).items():
            assert (getattr(seen, name) == column[some]).all(), name
"""


def told_with(threads: str) -> str:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **dict.fromkeys(names, threads)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fits_do_not_depend_on_threads_nor_expectations_on_what_stands_beside_them():
    assert told_with("1") == told_with("2")
