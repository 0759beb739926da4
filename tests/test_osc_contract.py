"""The table: complete, documented, described."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest

from bridge.osc import reference
from bridge.osc.contract import BUILT_IN, BY_ADDRESS, HANDLED, METHODS
from bridge.osc.dispatch import check_coverage
from bridge.osc.method import OscArgument, OscMethod
from bridge.osc.oscquery import MAX_TARGET_CHARACTERS, answer
from bridge.osc.oscquery_tree import node_at
from tests.osc_support import Recorder

STEMS = ("drums", "bass", "other")
DESIGNED = {
    *(
        f"/backline/{name}"
        for name in ["transport", "tempo", "time_signature", "play", "stop", "locate", "loop", "vocal"]
    ),
    *(f"/backline/generate/{name}" for name in ("start", "stop", "reroll")),
    *(f"/backline/stem/{stem}/{name}" for stem in STEMS for name in ("gain", "mute", "solo", "lock")),
    *(
        f"/backline/control/{name}"
        for name in ["style", "arousal", "focus", "guidance", "steps", "seed", "key", "chord", "lookahead", "chunk"]
    ),
    *(f"/backline/{name}" for name in ("preset/load", "preset/list", "take/list", "take/bounce")),
    *(f"/backline/{name}" for name in ("subscribe", "unsubscribe", "ping", "sync", "refresh", "panic")),
    "/backline/client/reply_port",
    *("/play", "/stop", "/record", "/tempo/raw", "/time", "/time/signature", "/beat/str"),
    *(f"/backline/{name}" for name in ("done", "error", "heartbeat", "plan")),
    *(f"/backline/meter/{name}" for name in (*STEMS, "mix")),
}
SIGNATURES = {
    "/backline/transport": "ihiddiiiddi",
    "/backline/vocal": "iihiisb",
    "/backline/subscribe": "sf",
    "/backline/heartbeat": "sffiiiiffffss",
    "/backline/plan": "ifssfh",
}


def test_the_table_holds_the_designed_addresses_once() -> None:
    assert {method.address for method in METHODS} == DESIGNED
    assert len(METHODS) == len(BY_ADDRESS)
    assert {address: BY_ADDRESS[address].type_tags for address in SIGNATURES} == SIGNATURES


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.address)
def test_every_row_has_a_handler_a_doc_and_a_node(method: OscMethod) -> None:
    if method.direction == "in":
        assert (method.address in HANDLED) + (method.address in BUILT_IN) + bool(method.alias_of) == 1
        assert set(method.alias_of) <= HANDLED
    assert method.help
    assert f"| `{method.address}` |" in reference.page()
    node = node_at(method.address, {})
    assert node is not None
    assert (node["FULL_PATH"], node["DESCRIPTION"]) == (method.address, method.help)
    assert node["ACCESS"] == {"in": 3 if method.readable else 2, "out": 1}[method.direction]
    assert node["TYPE"] == (method.type_tags or "N")
    assert len(node.get("RANGE", ())) == len(node.get("UNIT", ())) == len(method.arguments)


def test_the_reference_on_disk_is_the_tables() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run python -m bridge.osc.reference"


def test_the_service_refuses_handlers_that_do_not_fit_the_table() -> None:
    handlers = Recorder().handlers()
    check_coverage(handlers)
    del handlers["/backline/panic"]
    with pytest.raises(ValueError, match="no handler for /backline/panic"):
        check_coverage(handlers)
    with pytest.raises(ValueError, match="not in the contract: /backline/ping"):
        check_coverage({**Recorder().handlers(), "/backline/ping": lambda call: ()})


def test_rows_that_cannot_be_checked_are_refused() -> None:
    with pytest.raises(ValueError, match="type tag 'q'"):
        OscArgument("a", "q")
    with pytest.raises(ValueError, match="default must come last"):
        OscMethod("/a", (OscArgument("a", "i", default=1), OscArgument("b", "i")))


def test_the_whole_tree() -> None:
    status, tree = answer("/", {}, "127.0.0.1", 9140)
    assert status == HTTPStatus.OK
    found = set()

    def walk(node: dict[str, object], path: str) -> None:
        assert node["FULL_PATH"] == path
        if "TYPE" in node:
            found.add(path)
        contents = node.get("CONTENTS", {})
        assert isinstance(contents, dict)
        for name, child in contents.items():
            walk(child, f"{path.rstrip('/')}/{name}")

    assert tree is not None
    walk(tree, "/")
    assert found == DESIGNED


def test_attributes() -> None:
    values = {"/backline/stem/bass/gain": (-6.0,), "/backline/meter/mix": (float("-inf"), -12.5)}

    def ask(target: str) -> tuple[int, object]:
        status, content = answer(target, values, "127.0.0.1", 9140)
        json.dumps(content, allow_nan=False)
        return status, content

    assert ask("/backline/stem/bass/gain?VALUE") == (200, {"VALUE": [-6.0]})
    assert ask("/backline/meter/mix?VALUE") == (200, {"VALUE": [None, -12.5]})
    assert ask("/backline/stem/bass/gain?RANGE") == (200, {"RANGE": [{"MIN": -120.0, "MAX": 12.0}]})
    assert ask("/backline/stem/bass/gain?UNIT") == (200, {"UNIT": ["dB"]})
    assert ask("/backline/stem/bass/mute?RANGE") == (200, {"RANGE": [{"VALS": [0, 1]}]})
    assert ask("/backline/stem?ACCESS") == (200, {"ACCESS": 0})
    assert ask("/backline/stem?VALUE") == (204, None)
    assert ask("/backline/stem/drums/gain?VALUE") == (204, None)
    assert ask("/backline/nothing") == (404, None)
    assert ask("/backline/stem/bas") == (404, None)
    assert ask("/backline?NONSENSE") == (400, None)
    assert ask("/" + "a" * MAX_TARGET_CHARACTERS) == (414, None)
    status, info = ask("/?HOST_INFO")
    assert status == 200
    assert isinstance(info, dict)
    assert (info["OSC_IP"], info["OSC_PORT"], info["OSC_TRANSPORT"]) == ("127.0.0.1", 9140, "UDP")
    assert info["EXTENSIONS"]["VALUE"] is True
