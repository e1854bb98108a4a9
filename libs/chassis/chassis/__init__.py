"""What every process needs: settings, lifecycle, telemetry, gRPC server and client, errors, tenancy, keys, clock.

This module stays empty: the role `work` patches the standard library before anything else is imported.
"""
