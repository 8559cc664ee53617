"""Lead: the one care manager who leads where two organizations care for a member, whom both name together.

One organization proposes (a Task of code lead-designation), the other answers; on acceptance the CareTeams of both say
who leads from when on. CareTeam is the truth of who leads; nothing else than an accepted Task changes it.
"""
