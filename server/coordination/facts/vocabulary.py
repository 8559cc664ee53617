"""Vocabulary: the codes and extensions of ours that facts are read by."""

from __future__ import annotations

BASE = "https://careplan-server.org/fhir"
PROGRAM_EXTENSION = f"{BASE}/StructureDefinition/program"
ENTERED_IN_ERROR = f"{BASE}/StructureDefinition/entered-in-error"
BREACH = f"{BASE}/StructureDefinition/caseload-breach"
RULE_KIND = f"{BASE}/CodeSystem/rule-kind"
TASK = f"{BASE}/CodeSystem/cm-task"
TRANSFER, STEP = f"{TASK}|case-manager-transfer", f"{TASK}|case-manager-transfer-step"  # Task.code
REVIEW = f"{TASK}|service-plan-review"
DESIGNATION = f"{TASK}|lead-designation"
OFFER = f"{TASK}|health-home-offer"
ACCEPTANCE = f"{TASK}|plan-acceptance"
ISSUE = f"{BASE}/CodeSystem/cm-issue"
RESOLVED = f"{ISSUE}|resolved"  # DetectedIssue.mitigation.action: a later check did not find it any more
ISSUE_RULE = f"{BASE}/StructureDefinition/issue-rule"
DESIGNATION_TERM = f"{BASE}/CodeSystem/cm-designation"  # the type of Task.input and Task.output: lead, form, since …
ACCEPTANCE_TERM = f"{BASE}/CodeSystem/cm-acceptance"  # the type of Task.input: what was proposed
TRANSFER_INPUT = f"{BASE}/CodeSystem/cm-transfer-input"  # Task.input.type: from, to, organization, effective
SEGMENT_END = f"{BASE}/StructureDefinition/segment-end"
ALL_PROGRAMS = "*"
CONTINUITY = f"{BASE}/CodeSystem/cm-flag|continuity-required"
AREA_MANAGER = f"{BASE}/CodeSystem/cm-role|area-manager"

# what a member's fact is: the first of its data
ASSIGNMENT, ENROLMENT, LINK, MOVE = "assignment", "enrolment", "link", "move"
