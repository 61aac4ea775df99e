"""From graphs to kernels: lowering to loops, and their emission for a target."""
