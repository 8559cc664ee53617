"""Organization/[id]/$rebalance: the best moves under the caps, explained; applied, the transfers that they open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from server.coordination import period
from server.coordination.handoff.request import Wanted, requested
from server.coordination.handoff.transfer import concept
from server.coordination.program.program import Program, Rule
from server.coordination.program.programs import active
from server.coordination.rebalance import application, proposal, reading, wording
from server.coordination.rebalance.application import Opening
from server.coordination.rebalance.proposal import Chosen
from server.coordination.rebalance.reading import Reading
from server.coordination.rebalance.situation import NOBODY, Move, Shortage, Solution
from server.coordination.rebalance.terms import Asked, Enrolling, Hire, parameters
from server.ledger import Plan, Resource, View, micros
from server.operations.call import Answer, Call, aside
from server.operations.parameters import Inputs, Output, place
from server.operations.solver import solved
from server.outcome import Issue, Problem

A_COMMIT = 50  # transfers that are opened in one commit, all or none of them
MOST = {"hire": 10_000, "enrolling": 100_000}  # that are supposed in all: a state has 7,000 case managers


async def rebalance(call: Call) -> Answer:
    """The proposal, or with `apply` the transfers that it, or the moves that are named, open."""
    if call.inputs.one("apply"):
        if not call.writes:
            raise Problem.invalid("Moves are applied by POST", place("apply"))
        return await _apply(call)
    made, solution, position = await _proposed(call)
    if solution.lacking:
        lacking = [("lacking", _lacking(made, one)) for one in solution.lacking]
        return Answer([("position", position), *_average(made, None), *lacking, *_notes(made)])
    gap = Decimal(solution.cost - solution.bound) / max(1, solution.cost)
    return Answer(
        [
            ("proposal", proposal.bundle(made, solution, _reason(call, made.terms.rule), position)),
            ("cost", Decimal(solution.cost)),
            ("bound", Decimal(solution.bound)),
            ("gap", gap.quantize(Decimal("0.000001"), ROUND_HALF_UP).normalize() + 0),
            ("position", position),
            *_average(made, solution),
            *_managers(made, solution),
            *(("placement", _placement(made, move)) for move in proposal.placements(solution)),
            *_notes(made),
        ]
    )


async def _proposed(call: Call, at: int | None = None) -> tuple[Reading, Solution, int]:
    """What is proposed at a position, as of now; without one, where and when the call says."""
    view, now = (
        await call.view() if at is None else ((await call.view_at(at, "position"))[0], micros(datetime.now(UTC)))
    )
    await call.here(view)
    known = await active(view)
    canonical = call.inputs.one("program")
    as_of = known.instant(known.meant(canonical), call.inputs.one("asOf"), now)
    wanted = known.chosen(canonical, as_of)
    asked = _asked(call.inputs, call.reference, wanted)
    await _check_known(view, asked)

    async def read(view: View) -> Reading:
        return await reading.read(view, known, wanted, asked, as_of)

    made = await aside(view, read)
    return made, await solved(made.situation, gone=call.gone), view.position


def _asked(inputs: Inputs, organization: str, program: Program) -> Asked:
    def parts(name: str) -> list[Inputs]:
        return [given.value for given in inputs.given.get(name, ())]

    for name in ("limit", "averageLimit"):
        if (given := inputs.one(name)) is not None and given < 1:
            raise Problem.invalid("A limit is 1 or more", place(name))
    hires = [
        Hire(
            one.one("count") or 1,
            one.one("location"),
            period.starts(one.one("start"), program.zone) if one.one("start") else None,
        )
        for one in parts("hire")
    ]
    enrolling = [Enrolling(one.one("count") or 1, one.one("location")) for one in parts("enrolling")]
    for name, number in (
        ("hire", sum(one.number for one in hires)),
        ("enrolling", sum(one.number for one in enrolling)),
    ):
        if number > MOST[name]:
            raise Problem.invalid(f"At most {MOST[name]} in all can be supposed, not {number}", place(name))
    return Asked(
        organization,
        inputs.one("limit"),
        inputs.one("averageLimit"),
        hires,
        frozenset(inputs.all("leave")),
        enrolling,
        frozenset(inputs.all("release")),
    )


async def _check_known(view: View, asked: Asked) -> None:
    """Problem unprocessable with every reference of the inputs that leads nowhere: it would change nothing, unseen."""
    named = (
        ("location", "hire", {one.location for one in asked.hires if one.location}),
        ("location", "enrolling", {one.location for one in asked.enrolling if one.location}),
        ("role", "leave", asked.leaving),
        ("member", "release", asked.released),
    )
    issues = []
    for kind, name, references in named:
        known = await view.facts(kind, references) if references else {}
        issues += [
            Issue("not-found", f"There is no {one}, or nothing that counts is known of it", (place(name),))
            for one in sorted(references)
            if not known[one]
        ]
    if issues:
        raise Problem.with_issues("unprocessable", issues)


def _reason(call: Call, rule: Rule | None) -> Resource:
    """The reason that is given, else that of the program's rule."""
    given: Resource | None = call.inputs.one("reason")
    named = parameters(rule)["reason"]
    if given is None and named is None:
        raise Problem.of("required", "The program names no reason for rebalancing: give one", place("reason"))
    return given or concept(named)


# What is answered


def _notes(made: Reading) -> Iterator[Output]:
    return (("note", note) for note in made.notes)


def _after(made: Reading, solution: Solution) -> Counter[int]:
    """Each manager's members with all moves, placements and open transfers done."""
    after = Counter(manager for manager in made.situation.members.manager if manager != NOBODY)
    for move in solution.moves:
        after[move.receiver] += 1
        if move.sender != NOBODY:
            after[move.sender] -= 1
    return after


def _average(made: Reading, solution: Solution | None) -> Iterator[Output]:
    parts = [("before", _quotient(made.held))]
    if solution is not None:
        parts.append(("after", _quotient(_after(made, solution))))
    if any(quotient is not None for _, quotient in parts):
        yield "average", parts


def _quotient(held: Counter[int]) -> Decimal | None:
    managers = sum(number > 0 for number in held.values())
    if not managers:
        return None
    return (Decimal(held.total()) / managers).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def _managers(made: Reading, solution: Solution) -> Iterator[Output]:
    after = _after(made, solution)
    load = _loads(made, solution) if made.situation.weighted else None
    for index, manager in enumerate(made.situation.managers):
        parts: list[Output] = [
            ("role", manager.reference if "/" in manager.reference else None),
            ("name", manager.name),
            ("before", made.held[index]),
            ("after", after[index]),
            ("reserved", manager.others),
        ]
        if load is not None:
            parts += [("workloadBefore", load[0][index]), ("workloadAfter", load[1][index])]
        yield "manager", parts


def _loads(made: Reading, solution: Solution) -> tuple[Counter[int], Counter[int]]:
    members = made.situation.members
    before = Counter[int]()
    for manager, load in zip(members.manager, members.load, strict=True):
        before[manager] += load
    after = before.copy()
    for move in solution.moves:
        after[move.receiver] += members.load[move.member]
        after[move.sender] -= members.load[move.member]
    return before, after


def _placement(made: Reading, move: Move) -> list[Output]:
    patient, manager = made.situation.members.patients[move.member], made.situation.managers[move.receiver]
    link: Resource = {"display": manager.name}
    if "/" in manager.reference:
        link["reference"] = manager.reference
    who: Output = ("member", patient) if patient.startswith("Patient/") else ("name", patient)
    return [who, ("manager", link), ("cost", move.cost), ("text", wording.move(made, move))]


def _lacking(made: Reading, one: Shortage) -> list[Output]:
    found: list[Output] = [
        ("managers", one.managers),
        ("area", one.area or None),
        ("limit", one.limit),
        ("members", one.members),
        ("manager", made.situation.managers[one.at].reference if one.at is not None else None),
        ("text", wording.shortage(made, one)),
    ]
    return found


# Applying


async def _apply(call: Call) -> Answer:
    """Open the transfers, so many in a commit; none at all where one of them does not fit the head."""
    position = call.inputs.one("position")
    if position is None:
        raise Problem.invalid("To apply, say which position the proposal is of", place("position"))
    openings = await _openings(call, position)
    now = datetime.now(UTC)

    async def pending(view: View, some: Sequence[Opening]) -> list[Opening]:
        known = await active(view)
        program = known.chosen(call.inputs.one("program"), micros(now))
        return await application.pending(view, known, program, call.reference, some, micros(now))

    new = await pending(await call.repository.view(call.caller), openings)
    opened = [opening for opening in openings if opening not in new]
    commits = 0
    for batch in _batches(new):

        async def decide(view: View, batch: Sequence[Opening] = batch) -> Plan:
            await call.here(view)
            return Plan([requested(opening.wanted, opening.id) for opening in await pending(view, batch)])

        try:
            commit = await call.repository.commit(call.caller, decide, now=now, by_rule=True)
        except Problem as problem:
            raise _stopped(problem, batch, opened) from None
        opened += batch
        commits += commit.appended
        position = commit.position
    tasks: list[Output] = [("opened", f"Task/{opening.id}") for opening in opened]
    return Answer([("position", position), *tasks, ("commits", commits)])


async def _openings(call: Call, position: int) -> list[Opening]:
    """The moves that are named, else all that are proposed at the position."""
    ids = list(dict.fromkeys(call.inputs.all("move")))
    named = [one for id in ids if (one := Chosen.of(id))]
    if ids and len(named) == len(ids):  # which say themselves what they are: nothing is solved again
        view, now = await call.view_at(position, "position")
        known = await active(view)
        program = known.near(known.meant(call.inputs.one("program")), now)
        rule = next(program.of_kind("rebalance"), None)
        return [_opening(call, position, one, _reason(call, rule), ()) for one in named]
    made, solution, _ = await _proposed(call, position)
    if solution.lacking:
        raise Problem.conflict(f"Nothing is proposed there. {wording.shortage(made, solution.lacking[0])}")
    moves = proposal.transfers(solution)
    if ids:
        moves = _named(call, position, made, moves, ids)
    supposed = [made.situation.managers[move.receiver] for move in moves]
    if names := sorted({manager.name for manager in supposed if "/" not in manager.reference}):
        text = f"{names[0]} is only supposed. Apply the other moves by `move`, or propose again once there is a role."
        raise Problem.conflict(text, place("hire"))
    reason = _reason(call, made.terms.rule)
    return [
        _opening(call, position, proposal.chosen(made, move), reason, proposal.weighed(made, move)) for move in moves
    ]


def _named(call: Call, position: int, made: Reading, moves: Sequence[Move], ids: Sequence[str]) -> list[Move]:
    """The moves whose Tasks are named, by identifier, id or fullUrl."""
    wanted = {id.removeprefix("urn:uuid:").removeprefix("Task/") for id in ids}
    proposed = [proposal.chosen(made, move) for move in moves]
    names = [{one.id, one.task(call.reference, made.terms.program.url, position)} for one in proposed]
    if unknown := sorted(wanted.difference(*names)):
        text = f"{unknown[0][:120]!r} is no move: these inputs propose no Task of this identifier or id at {position}"
        raise Problem.invalid(text, place("move"))
    return [move for move, own in zip(moves, names, strict=True) if own & wanted]


def _opening(call: Call, position: int, move: Chosen, reason: Resource, weighed: Sequence[Resource]) -> Opening:
    inputs = call.inputs
    wanted = Wanted(
        move.patient,
        inputs.one("program"),
        move.receiver,
        reason,
        tuple(weighed),
        inputs.one("effective"),
        inputs.one("requester"),
    )
    return Opening.of(move, wanted, call.reference, position)


def _batches(openings: Sequence[Opening]) -> Iterator[Sequence[Opening]]:
    return (openings[start : start + A_COMMIT] for start in range(0, len(openings), A_COMMIT))


def _stopped(problem: Problem, batch: Sequence[Opening], opened: Sequence[Opening]) -> Problem:
    """What stopped a commit, each issue with the move that it is of; and what is open already."""
    moves = {f"Task/{opening.id}": application.place(opening) for opening in batch}
    issues = [_of_move(issue, moves) for issue in problem.issues]
    kind = "conflict" if any(_is_cap(issue) for issue in problem.issues) else problem.kind
    if opened:
        text = (
            f"{len(opened)} of the moves are open: {', '.join(f'Task/{one.id}' for one in opened[:20])}. No other is."
        )
        issues.append(Issue("informational", text, severity="information"))
    return Problem(kind, issues, problem.headers)


def _of_move(issue: Issue, moves: Mapping[str, str]) -> Issue:
    places = tuple(dict.fromkeys(moves[one] for one in issue.resources if one in moves))
    return replace(issue, expression=places or issue.expression, resources=())


def _is_cap(issue: Issue) -> bool:
    """The cap that was free when it was looked at, and was taken meanwhile."""
    return any(one.get("code") == "caseload-cap" for one in (issue.details or {}).get("coding", ()))
