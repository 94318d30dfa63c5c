"""Whether a run of speculative decoding can be what the target alone would say."""

from backend.speculation.auditing.audit import Audit, Check, Verdict
from backend.speculation.auditing.runs import audit_run, repeat_audit

__all__ = ["Audit", "Check", "Verdict", "audit_run", "repeat_audit"]
