"""The section `orchestration` of params.yaml: when and where stages run. No recipe reads it; it changes no result."""

from zoneinfo import available_timezones

from pydantic import Field, field_validator

from stages.params import Section


class StageOrchestration(Section):
    """Where a stage runs and what is done when it does not end well."""

    pool: str = Field(min_length=1, pattern=r"^[^/%]+$")  # what Prefect takes as the name of a work pool
    timeout_seconds: int = Field(ge=1)
    retries: int = Field(ge=0, le=50)
    concurrency_limit: int = Field(ge=1)


class OrchestrationParams(Section):
    """What `tuneline deploy` makes of a project on a Prefect server."""

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
            raise ValueError("no such time zone; write it as in Europe/Berlin or UTC")
        return timezone

    def of(self, stage: str) -> StageOrchestration:
        """What holds for the stage of this name."""
        found = getattr(self, "register_" if stage == "register" else stage)
        assert isinstance(found, StageOrchestration)
        return found


class Params(Section):
    """The one section that flows and deployments read."""

    orchestration: OrchestrationParams
