"""Values become JSON and come back the same; every mistake in the JSON is named in one line."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinesr.config import from_data, override, parse, to_data
from refinesr.errors import ConfigError


@dataclass(frozen=True)
class Eps:
    pass


@dataclass(frozen=True)
class EDM:
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if self.sigma_data <= 0:
            raise ValueError(f"sigma_data is {self.sigma_data:g}; it must be above 0")


@dataclass(frozen=True)
class Clean:
    pass


Precond = Eps | EDM | Clean


@dataclass(frozen=True)
class Network:
    width: int
    multipliers: tuple[int, ...] = (1, 2)
    size: tuple[int, float] = (64, 1.0)


@dataclass(frozen=True)
class Average:
    halflife: float = 1e5

    def __post_init__(self) -> None:
        if self.halflife > 1e9:
            raise ConfigError(f"halflife: {self.halflife:g} is longer than any run")


@dataclass(frozen=True)
class Stack:
    layers: tuple[Precond, ...] = ()
    below: "Stack | None" = None


@dataclass(frozen=True)
class Method:
    network: Network
    precond: Precond
    average: Average | None = None
    stack: Stack = Stack()
    clip: float | None = None
    consistent: bool = True
    precision: Literal["fp32", "bf16"] = "fp32"
    data: Path = Path("faces/train")
    title: str = ""


METHOD = Method(Network(64), EDM())


def described(**changes: Any) -> dict[str, Any]:
    """METHOD as data, with some of it replaced."""
    return {**to_data(METHOD), **changes}


def refusal(data: object, kind: Any = Method) -> str:
    with pytest.raises(ConfigError) as caught:
        from_data(kind, data, "face.safetensors")
    return str(caught.value).removeprefix("face.safetensors: ")


floats = st.floats(allow_nan=False, allow_infinity=False)
preconds = st.one_of(
    st.builds(Eps), st.builds(Clean), st.builds(EDM, st.floats(1e-300, allow_nan=False, allow_infinity=False))
)
stacks = st.recursive(
    st.builds(Stack, st.lists(preconds, max_size=3).map(tuple)),
    lambda below: st.builds(Stack, st.lists(preconds, max_size=2).map(tuple), below),
    max_leaves=4,
)
integers = st.integers(1 - 2**63, 2**63 - 1)
methods = st.builds(
    Method,
    network=st.builds(Network, integers, st.lists(integers).map(tuple), st.tuples(integers, floats)),
    precond=preconds,
    average=st.none() | st.builds(Average, st.floats(0, 1e9)),
    stack=stacks,
    clip=st.none() | floats,
    consistent=st.booleans(),
    precision=st.sampled_from(["fp32", "bf16"]),
    data=st.sampled_from([Path("a"), Path("/b/c d"), Path("é/1.5"), Path("..")]),
    title=st.text(),
)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("kind"), inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(methods)
def test_a_value_comes_back_from_its_json_text(value: Method) -> None:
    text = json.dumps(to_data(value), allow_nan=False)
    assert from_data(Method, parse(text, "text"), "text") == value


@settings(max_examples=30, deadline=None)
@given(preconds)
def test_a_union_may_be_the_root(value: Precond) -> None:
    data = to_data(value, Precond)
    assert data["kind"] == type(value).__name__
    assert from_data(Precond, data, "text") == value


@settings(max_examples=60, deadline=None)
@given(anything)
def test_any_other_json_is_refused_in_one_line(data: object) -> None:
    for wrong in (described(clip=[data]), described(network=[data]), described(stack={"layers": [[data]]})):
        message = refusal(wrong)
        assert len(message.splitlines()) == 1
        assert len(message) < 200


def test_the_data_is_plain_and_complete() -> None:
    assert to_data(METHOD) == {
        "network": {"width": 64, "multipliers": [1, 2], "size": [64, 1.0]},
        "precond": {"kind": "EDM", "sigma_data": 0.5},
        "average": None,
        "stack": {"layers": [], "below": None},
        "clip": None,
        "consistent": True,
        "precision": "fp32",
        "data": "faces/train",
        "title": "",
    }


def test_what_has_a_default_may_be_left_out() -> None:
    assert from_data(Method, {"network": {"width": 64}, "precond": {"kind": "EDM"}}, "text") == METHOD


def test_a_bare_name_is_the_member_with_its_defaults() -> None:
    data = described(precond="Clean", average="Average", stack={"layers": ["Eps", "EDM"]})
    method = from_data(Method, data, "text")
    assert (method.precond, method.average, method.stack.layers) == (Clean(), Average(), (Eps(), EDM()))


def test_an_integer_may_stand_for_a_float_and_becomes_one() -> None:
    value = from_data(Average, {"halflife": 3}, "text")
    assert type(value.halflife) is float


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precond": "EMD"}, "precond: 'EMD' is not one of Eps, EDM, Clean; did you mean 'EDM'?"),
        ({"precond": {"kind": "edm"}}, "precond: 'edm' is not one of Eps, EDM, Clean; did you mean 'EDM'?"),
        ({"precond": {"kind": ["EDM"]}}, "precond: ['EDM'] is not one of Eps, EDM, Clean"),
        ({"precond": {"sigma_data": 1}}, "precond: 'kind' is missing; one of Eps, EDM, Clean"),
        ({"precond": None}, "precond: null is not one of Eps, EDM, Clean"),
        ({"precond": {"kind": "EDM", "sigma_data": -1}}, "precond: sigma_data is -1; it must be above 0"),
        (
            {"precond": {"kind": "EDM", "sigma": 1}},
            "precond.sigma: no such field of EDM; did you mean 'sigma_data'?",
        ),
        ({"precond": {"kind": "Eps", "p": 1}}, "precond.p: no such field of Eps; it has none"),
        ({"average": 7}, "average: 7 is not one of Average, null"),
        ({"average": {"halflife": 1e10}}, "average.halflife: 1e+10 is longer than any run"),
        ({"network": {"widht": 64}}, "network.widht: no such field of Network; did you mean 'width'?"),
        (
            {"network": {"width": 64, "kind": "Network"}},
            "network.kind: no such field of Network; it has width, multipliers, size",
        ),
        ({"network": {}}, "network.width: missing, and has no default"),
        ({"network": 3}, "network: 3 is not an object with the fields of Network"),
        ({"network": {"width": "64"}}, "network.width: '64' is not an integer"),
        ({"network": {"width": True}}, "network.width: true is not an integer"),
        ({"network": {"width": 64.0}}, "network.width: 64.0 is not an integer; did you mean 64?"),
        ({"network": {"width": 64, "multipliers": "12"}}, "network.multipliers: '12' is not a list"),
        (
            {"network": {"width": 64, "multipliers": 1}},
            "network.multipliers: 1 is not a list; did you mean [1]?",
        ),
        ({"network": {"width": 64, "size": 8}}, "network.size: 8 is not a list; did you mean [8, 8]?"),
        ({"network": {"width": 64, "multipliers": [1, "2"]}}, "network.multipliers.1: '2' is not an integer"),
        ({"network": {"width": 64, "size": [1, 2, 3]}}, "network.size: [1, 2, 3] is not a list of 2"),
        ({"network": {"width": 64, "size": [1, None]}}, "network.size.1: null is not a finite number"),
        (
            {"stack": {"layers": ["Eps", {"kind": "EMD"}]}},
            "stack.layers.1: 'EMD' is not one of Eps, EDM, Clean; did you mean 'EDM'?",
        ),
        (
            {"stack": {"below": {"below": {"layer": []}}}},
            "stack.below.below.layer: no such field of Stack; did you mean 'layers'?",
        ),
        ({"clip": "1"}, "clip: '1' is not a finite number"),
        ({"clip": False}, "clip: false is not a finite number"),
        ({"clip": math.nan}, "clip: nan is not a finite number"),
        ({"clip": -math.inf}, "clip: -inf is not a finite number"),
        ({"consistent": 1}, "consistent: 1 is not true or false"),
        ({"precision": "fp16"}, "precision: 'fp16' is not one of fp32, bf16; did you mean 'bf16'?"),
        ({"precision": 16}, "precision: 16 is not one of fp32, bf16"),
        ({"data": None}, "data: null is not text"),
        ({"title": 1000}, "title: 1000 is not text; did you mean '\"1000\"'?"),
        (
            {"two\nlines": 1},
            "'two\\nlines': no such field of Method; it has network, precond, average, stack, clip, "
            "consistent, precision, data, title",
        ),
    ],
)
def test_a_refusal_names_place_value_and_what_would_be_right(changes: dict[str, Any], message: str) -> None:
    assert refusal(described(**changes)) == message


def test_a_refusal_at_the_root_has_no_place() -> None:
    assert refusal([]) == "[] is not an object with the fields of Method"
    assert refusal("EMD", Precond) == "'EMD' is not one of Eps, EDM, Clean; did you mean 'EDM'?"


def test_a_refusal_starts_at_the_place_the_caller_gives() -> None:
    with pytest.raises(ConfigError) as caught:
        from_data(Method, described(clip="1"), "face.safetensors", path="stages.0.method")
    assert str(caught.value) == "face.safetensors: stages.0.method.clip: '1' is not a finite number"


def test_long_values_are_cut_and_stay_on_one_line() -> None:
    message = refusal(described(consistent="one\n" * 1000))
    assert len(message) < 120
    assert "\n" not in message


def test_an_integer_beyond_all_floats_is_refused() -> None:
    assert refusal(described(clip=10**400)).endswith("000 is not a finite number")


@pytest.mark.parametrize("value", [2**63, -(2**63), 10**400])
def test_an_integer_beyond_64_bits_is_refused_before_torch_meets_it(value: int) -> None:
    assert refusal(described(network={"width": value})).endswith(" is beyond 64 bits")
    assert refusal(described(network={"width": value})).startswith("network.width: ")


def test_numbers_that_overflow_in_a_class_are_blamed_on_the_data() -> None:
    @dataclass(frozen=True)
    class Rising:
        mean: float

        def __post_init__(self) -> None:
            math.exp(self.mean)

    @dataclass(frozen=True)
    class Outer:
        levels: Rising

    with pytest.raises(
        ConfigError, match=r"^text: levels: holds numbers too large or too small to work with"
    ):
        from_data(Outer, {"levels": {"mean": 1e4}}, "text")


def test_nesting_without_end_is_refused() -> None:
    data: dict[str, Any] = {}
    elsewhere: list[Any] = []
    for _ in range(10_000):
        data, elsewhere = {"below": data}, [elsewhere]
    assert refusal(described(stack=data)) == "stack.below.below: nested too deeply"
    assert refusal(described(title=elsewhere)) == "title: [[[...]]] is not text"


def test_a_float_that_json_lacks_is_not_written() -> None:
    with pytest.raises(ConfigError, match=r"^Average: halflife: nan is not a finite number$"):
        to_data(Average(math.nan))


def test_a_field_of_a_wrong_type_is_not_written() -> None:
    with pytest.raises(ConfigError, match=r"^Network: width: '64' is not an integer$"):
        to_data(Network("64"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is not what its data would be read as"):
        to_data(Network(64, [1, 2]))  # type: ignore[arg-type]


def test_a_mistake_in_a_class_is_not_blamed_on_the_data() -> None:
    @dataclass(frozen=True)
    class Broken:
        def __post_init__(self) -> None:
            raise KeyError("width")

    @dataclass(frozen=True)
    class Tagged:
        kind: str

    with pytest.raises(KeyError):
        from_data(Broken, {}, "text")
    with pytest.raises(TypeError, match="'kind' is the tag and cannot be a field"):
        from_data(Tagged | Eps, {}, "text")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"a": [1, 2',
            "x.json: not valid JSON: Expecting ',' delimiter: line 1 column 12 (char 11)",
        ),
        ('{"a": 1, "b": 2, "a": 3}', "x.json: not valid JSON: 'a' is given twice"),
    ],
)
def test_text_that_is_not_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.json")
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000])
def test_text_made_to_overflow_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x.json: not valid JSON: [^\n]{,300}$"):
        parse(text, "x.json")


@pytest.mark.parametrize(
    ("assignment", "change"),
    [
        ("network.width=128", lambda new: new.network.width == 128),
        (" network.width = 128 ", lambda new: new.network.width == 128),
        ("network.multipliers=[1, 2, 4]", lambda new: new.network.multipliers == (1, 2, 4)),
        ("network.multipliers.1=8", lambda new: new.network.multipliers == (1, 8)),
        ("precond=Clean", lambda new: new.precond == Clean()),
        ('precond={"kind": "EDM", "sigma_data": 2}', lambda new: new.precond == EDM(2.0)),
        ("precond.sigma_data=1e-4", lambda new: new.precond == EDM(1e-4)),
        ("average=Average", lambda new: new.average == Average()),
        ("average=null", lambda new: new.average is None),
        ('stack.layers=["Eps"]', lambda new: new.stack.layers == (Eps(),)),
        ("clip=1", lambda new: new.clip == 1.0),
        ("consistent=false", lambda new: new.consistent is False),
        ("precision=bf16", lambda new: new.precision == "bf16"),
        ("data=/a b/c=d", lambda new: new.data == Path("/a b/c=d")),
        ('title="1000"', lambda new: new.title == "1000"),
        ("title=", lambda new: new.title == ""),
    ],
)
def test_one_field_is_set(assignment: str, change: Any) -> None:
    before = to_data(METHOD)
    new = override(METHOD, assignment)
    assert change(new)
    assert to_data(METHOD) == before
    name = assignment.split("=")[0].split(".")[0].strip()
    assert {key for key, value in to_data(new).items() if value != before[key]} <= {name}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("network.width", "--set: 'network.width' is not of the form field=value"),
        ("=3", "--set: '=3' is not of the form field=value"),
        ("network.widht=3", "--set: network.widht: no such field of Network; did you mean 'width'?"),
        ("netwrok.width=3", "--set: netwrok: no such field of Method; did you mean 'network'?"),
        ("network..width=3", "--set: network.'': no such field of Network; it has width, multipliers, size"),
        ("network.width.x=3", "--set: network.width: 64 has no fields"),
        ("average.halflife=3", "--set: average: null has no fields"),
        ("network.size.2=3", "--set: network.size.2: no such place; there are 2, counted from 0"),
        ("network.size.-1=3", "--set: network.size.-1: no such place; there are 2, counted from 0"),
        ("network.width=wide", "--set: network.width: 'wide' is not an integer"),
        ("network.width=1e3", "--set: network.width: 1000.0 is not an integer; did you mean 1000?"),
        ("network=Network", "--set: network: 'Network' is not an object with the fields of Network"),
        ("precond=EMD", "--set: precond: 'EMD' is not one of Eps, EDM, Clean; did you mean 'EDM'?"),
        ("precond.kind=Eps", "--set: precond.kind: no such field of EDM; it has sigma_data"),
        ("precond.sigma_data=0", "--set: precond: sigma_data is 0; it must be above 0"),
        ("clip=NaN", "--set: clip: nan is not a finite number"),
        ("consistent=True", "--set: consistent: 'True' is not true or false"),
        ("title=1000", "--set: title: 1000 is not text; did you mean '\"1000\"'?"),
        (
            "network.size=[1, 2",
            "--set: network.size: not valid JSON: Expecting ',' delimiter: line 1 column 6 (char 5)",
        ),
    ],
)
def test_a_field_that_cannot_be_set_is_named(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(METHOD, assignment)
    assert str(caught.value) == message


def test_assignments_that_fit_only_together_are_made_together():
    """One channel everywhere: after the first of these the value makes no sense, after the last it does."""
    assert override(PAIR, "left=2", "right=2") == Pair(2, 2)
    with pytest.raises(ConfigError, match=r"^--set: left: 2 is not right 1$"):
        override(PAIR, "left=2")


@dataclass(frozen=True)
class Pair:
    left: int
    right: int

    def __post_init__(self) -> None:
        if self.left != self.right:
            raise ConfigError(f"left: {self.left} is not right {self.right}")


PAIR = Pair(1, 1)


def test_a_later_assignment_may_lie_in_what_an_earlier_one_made():
    assert override(METHOD, "precond=EDM", "precond.sigma_data=0.25").precond == EDM(0.25)
