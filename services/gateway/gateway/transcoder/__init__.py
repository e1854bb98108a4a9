"""HTTP and JSON to gRPC and protobuf and back, driven by the `google.api.http` rules of the contracts."""
