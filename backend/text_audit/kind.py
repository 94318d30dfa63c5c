"""The kind of run that audits a text somebody else generated."""

from tokenarium.backend.runs.kind import Kind
from tokenarium.backend.text_audit.request import AuditRequest

KIND = Kind(
    request=AuditRequest,
    result="tokenarium.backend.text_audit.result:AuditResult",
    compute="tokenarium.backend.text_audit.runner:audit_text",
    title="Audit of a text",
)
