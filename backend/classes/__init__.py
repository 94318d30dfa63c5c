"""Classes: a teacher's group of anonymous students, and which steps of lessons they passed."""

from tokenarium.backend.classes.classes import Classes, ClassTable, StartedClass, class_code

__all__ = ["ClassTable", "Classes", "StartedClass", "class_code"]
