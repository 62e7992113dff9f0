"""The pipeline file: its model, loading with all mistakes at once, the plan in words, and config tests.

Pure apart from reading the file and what stands beside it: no boto3, no clock; the environment is handed in.
"""

from aetherstream.pipeline.loader import Pipeline, load
from aetherstream.pipeline.mistakes import PipelineMistakes

__all__ = ["Pipeline", "PipelineMistakes", "load"]
