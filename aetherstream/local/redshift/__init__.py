"""A stand-in for Amazon Redshift on one machine: an embedded PostgreSQL behind a front."""

from aetherstream.local.redshift.server import LocalRedshift

__all__ = ["LocalRedshift"]
