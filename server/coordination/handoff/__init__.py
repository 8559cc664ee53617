"""Handoff: a member moves from one case manager to another, by the steps of the program.

A transfer is a Task with a Task for each step (`partOf`). Everything is judged at the ledger's head by `judgement`,
whatever door a Task came through; $handoff and $advance only build the Tasks that a client could write as well.
"""
