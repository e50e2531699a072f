"""The only door to llama.cpp: vocabulary, model, context and sampler as four small classes.

Importing it loads llama.cpp, which takes a moment: the daemon does so when it first needs a vocabulary.
"""

from scrubjay.llama.context import LlamaContext
from scrubjay.llama.model import Model
from scrubjay.llama.sampler import Sampler
from scrubjay.llama.vocabulary import Vocabulary

__all__ = ["LlamaContext", "Model", "Sampler", "Vocabulary"]
