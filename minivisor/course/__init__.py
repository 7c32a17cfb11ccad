"""What the chapters and labs need besides the phone: a student's file as parts, predictions, pictures of a trace.

from minivisor.course import load_stage, predict, who_ran
"""

from __future__ import annotations

from minivisor.course.predict import predict
from minivisor.course.stage import load_stage
from minivisor.course.timeline import Timeline, who_ran
from minivisor.course.trap import code_of, explain, listing

__all__ = ["Timeline", "code_of", "explain", "listing", "load_stage", "predict", "who_ran"]
