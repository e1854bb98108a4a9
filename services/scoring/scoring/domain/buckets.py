"""How purchases are divided into files: by customer, so that one customer's are always together."""

import zlib

BUCKETS = 16


def bucket_of(customer: str) -> int:
    """The bucket of a customer (resource name), 0 to 15; the same for good, because files are named by it."""
    return zlib.crc32(customer.encode()) % BUCKETS
