"""A verification in words: one screen, what is wrong first."""

from itertools import groupby

from jobs.recompute import Recomputation
from jobs.summary import format_bytes
from jobs.verify import Verification
from pipeline.progress import format_duration

SHOWN_FINDINGS = 8
_MARGIN = 11


def describe_verification(found: Verification) -> str:
    """The report."""
    lines = [f"{found.store}: {_kind(found)}, {_verdict(found)}"]
    for remedy, findings in groupby(found.findings[:SHOWN_FINDINGS], key=lambda finding: finding.remedy):
        lines += [f"  ✗ {finding.file}: {finding.what}" for finding in findings]
        lines.append(f"    → {remedy}")
    if len(found.findings) > SHOWN_FINDINGS:
        lines.append(f"  ✗ … and {len(found.findings) - SHOWN_FINDINGS:,} more (--json lists all)")
    lines += [f"  {name:<{_MARGIN}}{text}" for name, text in _facts(found)]
    lines += [f"  {'note':<{_MARGIN}}{note}" for note in found.notes]
    return "\n".join(lines)


def _kind(found: Verification) -> str:
    if not found.kind:
        return "of unknown kind"
    if found.finished:
        return f"{found.kind}, complete"
    return f"{found.kind}, not finished ({found.state or 'no manifest'})"


def _verdict(found: Verification) -> str:
    if found.sound:
        return "sound" if found.finished else "sound as far as it goes"
    return f"{len(found.findings):,} problem(s)"


def _facts(found: Verification) -> list[tuple[str, str]]:
    accounts = found.accounts
    files = f"{found.num_files:,} read whole, {format_bytes(found.num_bytes)}, in {format_duration(found.seconds)}"
    if found.num_unsealed:
        files += f"; {found.num_unsealed:,} of an older version carry no checksum, their rows were checked by digest"
    facts = [("files", files), ("rows", f"{found.num_rows:,} recomputed digests")]
    pending = f" + {accounts.num_pending:,} pending" if not found.finished else ""
    balance = f"{accounts.num_stored:,} stored + {accounts.num_quarantined:,} quarantined{pending}"
    facts.append(("units", f"{accounts.num_planned:,} planned: {balance}"))
    if found.content_digest:
        facts.append(("digest", found.content_digest))
    if found.recomputation:
        facts += _recomputed(found.recomputation)
    return facts


def _recomputed(result: Recomputation) -> list[tuple[str, str]]:
    counts = [(result.num_equal, "bit for bit equal"), (len(result.different), "different")]
    counts += [(len(result.failed), "failed"), (len(result.unreadable), "whose recording cannot be read now")]
    told = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "none"
    facts = [("made again", f"{result.num_units:,} units: {told}")]
    for name, tensor in result.difference.tensors.items():
        if tensor.num_rows:
            reshaped = f", {tensor.num_reshaped:,} in shape" if tensor.num_reshaped else ""
            size = f"at most {tensor.max_abs:.3g}, RMS {tensor.rms:.3g}"
            facts.append(("", f"{name} in {tensor.num_rows:,}: {size}{reshaped}"))
    facts += [("", f"{name} in {count:,}") for name, count in result.difference.columns.items()]
    if result.num_reduced:
        facts.append(("", f"{result.num_reduced:,} in a smaller microbatch, as they were made when memory was short"))
    facts += [("", f"cannot be read: {name}: {reason}") for name, reason in result.unreadable[:2]]
    if result.environment:
        facts += [
            ("environment", f"{name}: {then} there, {now} here") for name, (then, now) in result.environment.items()
        ]
    return facts
