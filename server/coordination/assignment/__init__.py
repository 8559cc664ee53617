"""Assignment: who manages whose care, from when to when, and whom to call."""
