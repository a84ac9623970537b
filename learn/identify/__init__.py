"""What is unknown about a simulation, found from observations of it: alignment, initial velocities, materials, closures."""
