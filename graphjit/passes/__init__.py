"""Functions from graph to graph, and the list in which they are applied."""
