"""The pipelines of this project: their files, what stands beside them, and their Python steps."""
