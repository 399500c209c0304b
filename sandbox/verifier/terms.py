"""The terms that a report uses, each in a few sentences."""

TERMS: dict[str, str] = {
    "sigma": (
        "How far rounding alone may move this entry in the tested dtype: measured, not guessed, by "
        "evaluating the mirror 32 times with a random error of the size of one rounding after each "
        "operation. Right code is off by a few sigma at most, in whatever order it sums; a mistake by "
        "thousands to 10^15."
    ),
    "mirror": (
        "The same forward function written once more in JAX, which differentiates it. The gradient by hand "
        "is compared with the mirror's."
    ),
    "local": (
        "A check of one function alone: what it really received, recorded while everything ran, goes into "
        "the mirror of that one function, and each of its outputs is compared."
    ),
    "wiring": (
        "A check of what is handed from function to function: whether each layer was given what its "
        "neighbour returned, with its own weights and cache, and what came of it is stored under the right "
        "key."
    ),
    "end to end": (
        "The result of the whole, from X and the parameters alone, compared with the mirror of the whole."
    ),
    "contract": (
        "What a caller may rely on beyond the values at the inputs at hand: inputs left as they are, the "
        "same result twice, right for strided or Fortran-ordered inputs, linear in the cotangent, and the "
        "like; of the exercise's functions also for one example and one unit."
    ),
    "cotangent": (
        "The gradient that comes in from behind: dout, dA or dZ. A backward function maps it to the "
        "gradients by its inputs, and is linear in it (a vector-Jacobian product, VJP)."
    ),
    "gradient": (
        "What a backward function returns. Wrong anywhere, also only for some layout, shape or at a second "
        "call, the check fails."
    ),
    "value": (
        "What is no gradient: forward results, cost, caches, updated parameters. Wrong, the check fails."
    ),
    "manner": (
        "How a function whose results are right treats its callers: an update in place, a missing dA0, keys "
        "of another edition, state that is kept, warnings. A remark; with --strict (strict=True) a failure."
    ),
    "strict": (
        "With --strict, or strict=True, manners and outputs that are too coarse to tell are failures."
    ),
    "caught": (
        "What a pass is worth: the smallest relative error of an output as a whole that would have failed, "
        "and that of one entry (the middle one of those that are not 0)."
    ),
    "too coarse to tell": (
        "The output agrees, but rounding is so large here that an error of a hundredth of the whole would "
        "have agreed, too: check in float64, or with fewer layers. Fails with --strict."
    ),
    "not judged": ("Neither right nor wrong can be said, and the sentence beside it says why. Not a pass."),
    "not written yet": (
        "A function without a body. The sandbox's own stands in for it, so that the others are judged. Not "
        "a pass."
    ),
    "not compared": ("There is nothing to compare: no entries, or numbers beyond the dtype's largest."),
    "note": ("Worth knowing, and no failure: that a function takes one network at a time, for instance."),
    "kink": (
        "Where a function has no derivative: a ReLU at 0, the tie of a maximum. Within rounding of a kink "
        "the gradient of either side is accepted; exactly at it the mirror's convention counts (0 for the "
        "ReLU)."
    ),
}
