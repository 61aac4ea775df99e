"""What the user touches: tensors, the tape, and the decorator that captures a graph."""
