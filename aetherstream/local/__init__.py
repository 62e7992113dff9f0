"""The one-machine stack: AWS on loopback, without Docker and without an account."""
