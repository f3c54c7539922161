"""Training: the loop, its loss, the teacher, and when it ends."""
