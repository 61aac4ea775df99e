"""What a traced function of the tests imports while it runs."""

SCALE = 1.0
