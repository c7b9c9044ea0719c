"""Classifiers as plain PyTorch modules: images or features in, logits (N, num_classes) out.

They need PyTorch and nothing else. Which of them a registered model may name, and with what sizes,
is for `workers.architectures` to say.
"""
