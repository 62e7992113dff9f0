"""AetherStream: Kinesis Data Streams to S3, Redshift and OpenSearch; every record once, or kept where you find it."""

__version__ = "0.1.0"
