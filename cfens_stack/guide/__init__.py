"""The decision guide: which settings for which data."""

from cfens_stack.guide.guidance import Guidance, recommend

__all__ = ["Guidance", "recommend"]
