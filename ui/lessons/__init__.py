"""Lessons beside the real pages: files in ``assets/lessons``, checks on what a student did."""
