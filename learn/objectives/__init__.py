"""What do I want: one objective a file; they add up with weights."""

from learn.objectives.base import Objective
from learn.objectives.distance import DistanceTravelled
from learn.objectives.effort import ControlEffort
from learn.objectives.matching import TrajectoryMatching
from learn.objectives.target import TargetPosition

__all__ = ["ControlEffort", "DistanceTravelled", "Objective", "TargetPosition", "TrajectoryMatching"]
