"""What the Learn page has for a class: joining, beginning, and the teacher's table."""
