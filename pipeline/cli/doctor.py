"""The command doctor, which checks what this machine lacks to run the pipeline."""

from dataclasses import asdict

import typer

from pipeline.checkout.layout import enter_root
from pipeline.terminal import Json, out, print_json
from stages.errors import UserError

commands = typer.Typer()

STYLES = {"ok": "green", "warning": "yellow", "fault": "red"}


@commands.command()
def doctor(as_json: Json = False) -> None:
    """Check what runs on this machine need: packages, parameters, device, git, DVC remote, MLflow and Prefect.

    Each check prints what it found and, where something is missing, what to do. A fault makes the exit code 2; a
    warning is what only some runs need. The check of the DVC remote writes a file of a few bytes and removes it.

    Examples:

        tuneline doctor

        PREFECT_API_URL=http://server:4200/api tuneline doctor --json
    """
    from rich.text import Text

    from pipeline.doctor.checks import examine

    enter_root()
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            out.print(Text(f"{finding.state:<8}", STYLES[finding.state]), Text(f"{finding.name:<11} {finding.detail}"))
            if finding.remedy:
                out.print(f"{'':<20} {finding.remedy}")
    faults = [finding.name for finding in findings if finding.state == "fault"]
    if as_json:
        print_json({"ok": not faults, "checks": [asdict(finding) for finding in findings]})
    if faults:
        raise typer.Exit(UserError.exit_code)
