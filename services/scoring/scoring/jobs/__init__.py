"""Programs that score a tenant's customers, in their own process or on a Ray cluster, and how to launch them."""
