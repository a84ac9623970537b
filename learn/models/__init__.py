"""Learned parts: policies, and the controller that puts one into a simulation's loop."""

from learn.models.controller import Controller
from learn.models.mlp import MLPPolicy
from learn.models.open_loop import OpenLoopPolicy
from learn.models.oscillator import OscillatorPolicy
from learn.models.policy import Deterministic, Policy, SquashedGaussian

__all__ = [
    "Controller",
    "Deterministic",
    "MLPPolicy",
    "OpenLoopPolicy",
    "OscillatorPolicy",
    "Policy",
    "SquashedGaussian",
]
