"""The rows of a report: of an output that was compared, and of a contract that was asked for. A row is made
once and never replaced."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

UNKNOWN = float("nan")  # the numbers of a row that compares none


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "FAIL"
    REMARK = "remark"  # a manner: a failure on request only
    COARSE = "too coarse to tell"  # it agrees, and a hundredth of the whole would have agreed, too
    NOT_JUDGED = "not judged"  # neither right nor wrong can be said; no pass
    NOT_WRITTEN = "not written yet"
    NOTE = "note"  # worth knowing, no failure
    NOT_COMPARED = "not compared"


class Matter(StrEnum):
    """What a row is about. GRADIENT: whether gradients are right. VALUE: forward, cost, update, caches.
    MANNER: how a function whose results are right treats its callers."""

    GRADIENT = "gradient"
    VALUE = "value"
    MANNER = "manner"


class Scope(StrEnum):
    """Where the inputs come from: LOCAL, what the tested code really used went into the mirror of this one
    function; WIRING, what was handed from function to function; CONTRACT, the check's own; END_TO_END, from X
    and the parameters alone."""

    LOCAL = "local"
    WIRING = "wiring"
    CONTRACT = "contract"
    END_TO_END = "end to end"


class Cause(StrEnum):
    """What the verdict of an output rests on: its numbers; that it is MISSING; the STRUCTURE of the result,
    from which no output could be taken; an exception, in the function itself or in one that it called."""

    VALUES = "values"
    MISSING = "missing"
    STRUCTURE = "structure"
    EXCEPTION = "exception"


class Fault(StrEnum):
    """Who is wrong, where the third oracle could say; UNDECIDED where it was asked and could not."""

    UNASKED = ""
    BACKWARD = "backward"
    MIRROR = "mirror"
    FORWARD = "forward"
    UNDECIDED = "undecided"


class Contract(StrEnum):
    """What a caller may rely on beyond the values at the given inputs."""

    ANY = "contracts"
    RUNS = "runs"
    UNCHANGED = "inputs unchanged"
    NEW = "outputs are new arrays"
    DETERMINISTIC = "no memory of earlier calls, no randomness"
    SILENT = "no warnings"
    VALUES = "values"
    LAYOUTS = "read-only, strided and Fortran-ordered inputs"
    OTHER_DTYPE = "the other dtype"
    LINEAR = "linear in the cotangent"
    NOT_FINITE = "NaN and infinity come through"
    ONE_EXAMPLE = "one example"
    ONE_UNIT = "one unit"
    ONE_INPUT = "one input"
    ELSEWHERE = "at inputs of the equation's own"
    STACKS = "stacks"


@dataclass(frozen=True)
class Entry:
    """One wrong entry: `ratio` is computed / reference, `z` is |computed - reference| / sigma."""

    index: tuple[int, ...]
    computed: float
    reference: float
    ratio: float
    z: float


@dataclass(frozen=True)
class OutputRow:
    """One output of one function, compared with the mirror.

    Attributes:
        function: the tested function.
        layer: l = 1..L, or None where there is no layer.
        output: "dA_prev", "dW", "Z", ..., or a key of the dict of gradients; "result" for all of it.
        finding: what is wrong, in words; empty for a pass.
        shape, dtype: of the tested output.
        sigma_error: the largest |computed - reference| / sigma over the entries; NaN where no
            numbers are compared.
        threshold: what `sigma_error` must not exceed.
        tensor_error: ||computed - reference|| / ||sigma||, the same for the output as a whole.
        tensor_threshold: what `tensor_error` must not exceed.
        relative_error: max |computed - reference| / max |reference|.
        caught: the smallest relative error of the output as a whole that would have failed.
        caught_entry: that of one entry, of the middle one of those that are not 0.
        overflowed: entries that the tested dtype cannot hold, which are not compared.
        worst: the entries furthest off, worst first.
        pattern: the mistake that explains the difference, where one is recognised.
        at_fault: who is wrong, where the third oracle could say.
    """

    function: str
    scope: Scope
    layer: int | None
    output: str
    verdict: Verdict
    finding: str = ""
    cause: Cause = Cause.VALUES
    shape: tuple[int, ...] = ()
    dtype: str = ""
    sigma_error: float = UNKNOWN
    threshold: float = UNKNOWN
    tensor_error: float = UNKNOWN
    tensor_threshold: float = UNKNOWN
    relative_error: float = UNKNOWN
    caught: float = UNKNOWN
    caught_entry: float = UNKNOWN
    overflowed: int = 0
    worst: tuple[Entry, ...] = ()
    pattern: str = ""
    at_fault: Fault = Fault.UNASKED
    matter: Matter = Matter.VALUE

    @property
    def place(self) -> str:
        return _place(self)

    @property
    def values_right(self) -> bool:
        """Whether the numbers agree, whatever else fails."""
        return self.sigma_error <= self.threshold and self.tensor_error <= self.tensor_threshold


@dataclass(frozen=True)
class ContractRow:
    """One contract of one function; `inputs` names those at which an equation asks once more. What it may say
    of a mistake or of who is wrong stands in the finding."""

    pattern: ClassVar[str] = ""
    at_fault: ClassVar[Fault] = Fault.UNASKED
    worst: ClassVar[tuple[Entry, ...]] = ()

    function: str
    contract: Contract
    verdict: Verdict
    finding: str = ""
    inputs: str = ""
    layer: int | None = None
    matter: Matter = Matter.MANNER

    @property
    def scope(self) -> Scope:
        return Scope.CONTRACT

    @property
    def output(self) -> str:
        """The contract's name, which stands where that of an output does."""
        return self.inputs or self.contract

    @property
    def place(self) -> str:
        return _place(self)


Row: TypeAlias = OutputRow | ContractRow


def _place(row: Row) -> str:
    """Function, layer and output, as one reads it."""
    where = f", layer {row.layer}" if row.layer is not None else ""
    return f"{row.function}{where}, {row.output}"


def of_any_layer(row: Row) -> str:
    """The output's name without its layer: dW{l} for the key dW3, and dA{l-1} for what layer l hands down."""
    name = row.output.rstrip("0123456789")
    if row.layer is None or name == row.output:
        return row.output
    return f"{name}{{l}}" if row.output == f"{name}{row.layer}" else f"{name}{{l-1}}"


FAR = 1e6


def rounded_up(x: float) -> str:
    """To one digit, and never to less: 4.2e-15 is 5e-15."""
    digit, exponent = f"{x:.6e}".split("e")
    up = math.ceil(float(digit))
    return f"{up}e{exponent}" if up < 10 else f"1e{int(exponent) + 1:+03d}"


def sigmas(z: float) -> str:
    """So many sigma, in words; how far beyond a million tells nothing."""
    return f"{z:.3g} sigma" if z <= FAR else "> 1e6 sigma"
