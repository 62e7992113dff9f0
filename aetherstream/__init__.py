"""AetherStream: Kinesis Data Streams to S3, Redshift and OpenSearch, every record once or kept where it can be found."""

__version__ = "0.1.0"
