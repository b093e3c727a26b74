"""The parts, the most important first: what each is called, how long it may take, and whether it runs alone."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.gpu import correctness, interruption, speed, step_profile, texts
from tests.gpu.workload import Target


@dataclass(frozen=True)
class Part:
    """A function that shows a promise, or measures, within `limit` seconds."""

    run: Callable[[Target], None]
    limit: float
    measures: bool = False  # alone on the machine, and it ends by itself when its time is over

    @property
    def name(self) -> str:
        """Its name on the command line and in the report."""
        return self.run.__name__.replace("_", "-")


PARTS = (
    Part(correctness.determinism, 120),
    Part(correctness.no_waiting, 90),
    Part(correctness.attention_kernel, 60),
    Part(texts.texts, 90),
    Part(correctness.hugging_face_forward, 90),
    Part(correctness.bf16_against_fp32, 90),
    Part(interruption.kill_and_resume, 120),
    Part(interruption.checkpoint_while_training, 90),
    Part(correctness.device_against_cpu, 90),
    Part(correctness.out_of_memory, 90),
    Part(correctness.not_finite, 60),
    Part(interruption.two_processes, 90),
    Part(speed.training, 170, measures=True),
    Part(step_profile.where_time_goes, 60, measures=True),
    Part(step_profile.step_in_a_graph, 60, measures=True),
    Part(speed.inference, 60, measures=True),
    Part(speed.peer_compiled, 120, measures=True),
    Part(step_profile.step_compiled, 120, measures=True),
)
