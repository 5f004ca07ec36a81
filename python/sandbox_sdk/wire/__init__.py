"""Messages of the control plane, generated from proto/seed/sandbox.proto (see python/README.md)."""
