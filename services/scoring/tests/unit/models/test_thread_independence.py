from collections.abc import Iterator

from threadpoolctl import threadpool_info, threadpool_limits

from scoring.jobs.bench import Simulated, histories
from scoring.models import bg_nbd, gamma_gamma, lifetime_value, mbg_nbd, pareto_nbd, selection


def told(people: Simulated) -> Iterator[object]:
    x, recency, age, spend = people.x, people.recency, people.age, people.repeat_revenue
    yield selection.select(people.split())
    values = gamma_gamma.fit(x[x > 0], spend[x > 0])
    yield str(values), values.covariance.tolist()
    for kind in (bg_nbd, mbg_nbd, pareto_nbd):
        purchases = kind.fit(x, recency, age)
        yield str(purchases), purchases.covariance.tolist()
        whole = lifetime_value.outlook(purchases, x, recency, age, 52, 0.1)
        yield whole.purchases_deviation[:1].tolist()
        some = slice(1, None, 3)
        seen = lifetime_value.outlook(purchases, x[some], recency[some], age[some], 52, 0.1)
        for name, column in vars(whole).items():
            assert (getattr(seen, name) == column[some]).all(), name


def test_fits_do_not_depend_on_threads_nor_expectations_on_what_stands_beside_them():
    people = histories(33_000)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {threads}
            found.append(list(told(people)))
    assert found[0] == found[1]
