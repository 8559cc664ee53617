"""Responsibility: which organization does what for a member whom two have, and where they do not keep to it."""
