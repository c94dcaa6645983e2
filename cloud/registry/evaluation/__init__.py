"""Evaluation sets, and what each release comes to on them.

A set is taken in once (`building`, from the forms of `coco` and `mot`) and kept under its digest (`shelf`). A release
is held against it in a process of its own (`running`, and `judging` inside), and what it came to is kept beside the
release (`results`).
"""
