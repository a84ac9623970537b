"""Small dense linear algebra as Warp functions: 3 x 3 matrices, polar factor, symmetric eigenproblem."""
