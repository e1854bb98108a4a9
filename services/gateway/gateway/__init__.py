"""The one HTTP door: gRPC methods as REST, event collection, public pages, and the API's description."""
