"""The story that `make demo` plays: real purchases, through the gateway, on the whole platform."""
