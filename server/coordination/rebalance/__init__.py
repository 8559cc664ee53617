"""Rebalance: the moves of members between case managers that meet the caps at the least cost, and why each.

Pure computation in three steps: `reading` makes a Situation of the facts at one ledger position, its members from the
`panel` and its case managers from the `staffing`, under the `terms`; `solve` finds the best Solution, proves it by its
prices and explains it; `proposal` says it as Tasks. Only what `solve` imports knows numpy and OR-Tools: what reads and
what answers does not, so that a worker never loads them.
"""
