"""The hand-written passes of an L-layer network: the system under test.

    [LINEAR -> RELU] x (L-1) -> LINEAR -> SIGMOID, with the cross-entropy cost

Notation. Examples are columns: X = A[0] is (n_0, m), W[l] is (n_l, n_{l-1}), b[l] is (n_l, 1),
Z[l] and A[l] are (n_l, m), Y and AL = A[L] are (1, m). Depth L counts the layers with parameters.

Whose gradient? **dA and dZ are gradients of the summed loss, sum_i L_i = m J; dW and db are
gradients of the mean cost J.** The factor 1/m enters once, in `linear_backward`.

Stacks. Every function also takes stacks of networks: leading axes before the last two, broadcast
as NumPy does. Every network of a stack gets gradients of its own.

The dtype that comes in goes out; whole numbers alone are taken as float64. Functions and caches follow
the exercise "Building your deep neural network: step by step"; the derivation is chapter 6.5 of
Goodfellow, Bengio and Courville, *Deep Learning* (2016). Other hidden activations and costs than the
exercise's are named by keyword, and are entries of the tables in `activations` and `costs`.
"""

from sandbox.network.passes import (
    L_model_backward,
    L_model_forward,
    compute_cost,
    compute_cost_from_logits,
    initialize_parameters,
    initialize_parameters_deep,
    linear_activation_backward,
    linear_activation_forward,
    linear_backward,
    linear_forward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    update_parameters,
)

__all__ = [
    "L_model_backward", "L_model_forward", "compute_cost", "compute_cost_from_logits",
    "initialize_parameters", "initialize_parameters_deep", "linear_activation_backward",
    "linear_activation_forward", "linear_backward", "linear_forward", "relu", "relu_backward", "sigmoid",
    "sigmoid_backward", "update_parameters",
]  # fmt: skip
