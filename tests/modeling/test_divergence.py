import torch
from torch.nn import functional

from stages.modeling.heads.divergence import sigmoid_divergence, softmax_divergence

FIRST_OC, SECOND_OC = torch.randn(2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 4


def test_softmax_divergence_is_the_mean_of_both_directions() -> None:
    logs = [functional.log_softmax(logits, 1) for logits in (FIRST_OC, SECOND_OC)]
    both = [
        functional.kl_div(one, other, reduction="none", log_target=True).sum(1) for one, other in (logs, logs[::-1])
    ]
    torch.testing.assert_close(softmax_divergence(FIRST_OC, SECOND_OC), (both[0] + both[1]) / 2)
    assert not softmax_divergence(FIRST_OC, FIRST_OC).any()


def test_sigmoid_divergence_is_that_of_a_coin_for_each_label() -> None:
    first_OC, second_OC = (torch.distributions.Bernoulli(logits=logits) for logits in (FIRST_OC, SECOND_OC))
    both_OC = torch.distributions.kl_divergence(first_OC, second_OC) + torch.distributions.kl_divergence(
        second_OC, first_OC
    )
    torch.testing.assert_close(sigmoid_divergence(FIRST_OC, SECOND_OC), both_OC.mean(1) / 2)
