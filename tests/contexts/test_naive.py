"""What every context does, the naive one and the quick one."""

import numpy as np
import pytest

from scrubjay.tokens import EMPTY, as_tokens
from tests.support.engine_rig import random_tokens, rig


@pytest.mark.parametrize("n_tokens", [0, 1])
def test_the_shortest_prompts(n_tokens: int) -> None:
    """One token is a prompt, none is not; afterwards everything works."""
    with rig("shortconv") as r:
        prompt = random_tokens(np.random.default_rng(11), n_tokens) if n_tokens else EMPTY
        if n_tokens:
            assert r.warm.sync(prompt).processed == 1
        else:
            with pytest.raises(Exception, match="prompt is empty"):
                r.warm.sync(prompt)
        assert r.warm.sync(as_tokens([1, 2, 3])).prompt == 3
