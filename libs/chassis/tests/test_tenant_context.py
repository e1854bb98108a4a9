import threading

import pytest

from chassis import context, tenancy


def test_tenant_is_the_contexts_and_gone_afterwards(settings):
    tenancy.configure(settings())
    with tenancy.service_context("acme") as entered:
        assert tenancy.tenant() == "acme"
        assert (entered.principal, entered.permissions) == ("services/things", {"things.*"})
        with tenancy.service_context("umbrella", principal="services/sales", method="nightly"):
            assert (tenancy.tenant(), context.current().method) == ("umbrella", "nightly")
        assert tenancy.tenant() == "acme"
    with pytest.raises(tenancy.TenantMissing):
        tenancy.tenant()


def test_entering_a_tenant_ends_with_the_request():
    with tenancy.service_context("acme"):
        tenancy.enter("umbrella")
        assert tenancy.tenant() == "umbrella"
    assert context.current_or_none() is None
    with pytest.raises(context.NoContext):
        tenancy.enter("acme")


@pytest.mark.parametrize("tenant", ["", "a/b"])
def test_no_tenant_may_break_out_of_its_ids(tenant):
    with pytest.raises(tenancy.TenantMissing), tenancy.service_context(tenant):
        pass


def test_threads_do_not_share_a_tenant():
    seen = []

    def look():
        seen.append(context.current_or_none())

    with tenancy.service_context("acme"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == [None]
