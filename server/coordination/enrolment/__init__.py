"""Enrolment: what a member has to be to be enrolled in a program, what is offered then, and what has to agree."""
