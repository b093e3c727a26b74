"""The section `orchestration` of params.yaml: when and where stages run. No recipe reads it; it changes no result."""

from zoneinfo import available_timezones

from pydantic import Field, field_validator

from stages.params import Section


class StageOrchestration(Section):
    """Where a stage runs, how long, and how often it is retried."""

    pool: str = Field(min_length=1, pattern=r"^[^/%]+$")  # what Prefect accepts as the name of a work pool
    timeout_seconds: int = Field(ge=1)
    retries: int = Field(ge=0, le=50)
    concurrency_limit: int = Field(ge=1)


class OrchestrationParams(Section):
    """How `tuneline deploy` sets up a project on a Prefect server."""

    pool: str = Field(min_length=1, pattern=r"^[^/%]+$")
    concurrency_limit: int = Field(ge=1)
    cron: str | None
    timezone: str
    retry_delay: int = Field(ge=1)
    retention_days: int = Field(ge=1)
    heartbeat_timeout_seconds: int = Field(ge=90)
    tokenize: StageOrchestration
    train: StageOrchestration
    evaluate: StageOrchestration
    register_: StageOrchestration = Field(alias="register")

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        if timezone not in available_timezones():
            raise ValueError("no such time zone; write it like Europe/Berlin or UTC")
        return timezone

    def of(self, stage: str) -> StageOrchestration:
        """Return the section of the stage of this name."""
        section = getattr(self, "register_" if stage == "register" else stage)
        assert isinstance(section, StageOrchestration)
        return section


class Params(Section):
    """The section that flows and deployments read."""

    orchestration: OrchestrationParams
