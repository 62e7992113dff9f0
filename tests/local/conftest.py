from __future__ import annotations

from tests.stack_fixture import tiny_stack

__all__ = ["tiny_stack"]
