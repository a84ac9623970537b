"""Learned parts: policies, and the controller that puts one into a simulation's loop."""

from pliant.learn.models.controller import Controller
from pliant.learn.models.mlp import MLPPolicy
from pliant.learn.models.open_loop import OpenLoopPolicy
from pliant.learn.models.oscillator import OscillatorPolicy
from pliant.learn.models.policy import Deterministic, Policy, SquashedGaussian

__all__ = [
    "Controller",
    "Deterministic",
    "MLPPolicy",
    "OpenLoopPolicy",
    "OscillatorPolicy",
    "Policy",
    "SquashedGaussian",
]
