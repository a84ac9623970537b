"""Learned closures of an active fluid: each gives psi_4, and with it S, turns with the fluid, and stays realisable."""

from pliant.learn.models.closures.base import NeuralClosure, closure_error, tensor_of
from pliant.learn.models.closures.card import load_closure, save_closure
from pliant.learn.models.closures.convolutional import ConvolutionalClosure
from pliant.learn.models.closures.local import OrderClosure, StrainClosure

CLOSURES = {"order": OrderClosure, "strain": StrainClosure, "convolutional": ConvolutionalClosure}

__all__ = [
    "CLOSURES",
    "ConvolutionalClosure",
    "NeuralClosure",
    "OrderClosure",
    "StrainClosure",
    "closure_error",
    "load_closure",
    "save_closure",
    "tensor_of",
]
