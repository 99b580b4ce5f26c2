"""Topics: whoever subscribes, whenever, however slow, and however often cut off, ends with the engine's state."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, strategies as st

from workbench.runs.topics import Frame, Mailbox, Topic, apply


class Viewer:
    """Keeps the state that the frames say, and takes nothing that is out of order."""

    def __init__(self, topic: Topic) -> None:
        self.woken = 0
        self.state: dict[str, Any] | None = None
        self.keep: dict[str, int] = {}
        self.number = 0
        self.ended = False
        self.topic = topic
        self.mailbox: Mailbox = topic.subscribe(self.wake)

    def wake(self) -> None:
        self.woken += 1

    def look(self) -> list[Frame]:
        frames = self.mailbox.take()
        for frame in frames:
            assert not self.ended
            if "end" in frame:
                self.ended = True
                continue
            if "snapshot" in frame:
                assert frame["number"] >= self.number
                self.state = {}
            else:
                assert frame.after == self.number < frame["number"]
            assert self.state is not None
            apply(self.state, self.keep, json.loads(frame.text))
            self.number = frame["number"]
        return frames

    def come_back(self) -> None:
        """Cut off, and here again."""
        cursor = self.mailbox.cursor
        self.mailbox.close()
        self.mailbox = self.topic.subscribe(self.wake, cursor)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from(["rows", "state"]), st.integers(0, 3)),
        st.tuples(st.just("append"), st.sampled_from(["last", "all"]), st.lists(st.integers(0, 9), max_size=4)),
        st.tuples(st.just("change"), st.sampled_from(["last", "all"]), st.lists(st.integers(0, 9), max_size=3)),
        st.tuples(st.just("look"), st.integers(0, 3), st.none()),
        st.tuples(st.just("back"), st.integers(0, 3), st.none()),
        st.tuples(st.just("come"), st.none(), st.none()),
        st.tuples(st.just("restore"), st.integers(0, 3), st.none()),
        st.tuples(st.just("end"), st.none(), st.none()),
    ),
    max_size=40,
)


@given(acts=ACTS)
def test_every_viewer_ends_with_the_state_of_the_engine(acts: list[tuple[str, Any, Any]]) -> None:
    state: dict[str, Any] = {"rows": 0, "last": [], "all": []}
    keep = {"last": 3}
    topic = Topic("t", state, keep)
    viewers = [Viewer(topic)]
    for act, what, value in acts:
        if act == "change" and not topic.ended:
            state[what] = value
            topic.change(**{what: value})
        elif act == "append" and not topic.ended:
            state[what] = [*state[what], *value]
            if what == "last" and value:
                state[what] = state[what][-keep["last"] :]
            topic.append(**{what: value})
        elif act == "restore" and not topic.ended:
            keep = {"last": 3 + what}
            state = {**state, "rows": what, "last": [what]}
            topic.restore(state, keep)
        elif act == "look":
            viewers[what % len(viewers)].look()
        elif act == "back" and not (viewer := viewers[what % len(viewers)]).ended:
            viewer.come_back()
        elif act == "come":
            viewers.append(Viewer(topic))
        elif act == "end":
            topic.end()
    for viewer in viewers:
        viewer.look()
        assert viewer.state == state
        assert viewer.keep == keep
        assert viewer.number == topic.number
        assert viewer.ended == topic.ended


def test_a_change_that_changes_nothing_is_not_told() -> None:
    topic = Topic("t", {"rows": 1})
    viewer = Viewer(topic)
    viewer.look()
    topic.change(rows=1)
    assert not viewer.woken
    assert viewer.look() == []


def test_the_slow_get_all_that_they_missed_as_one_change_and_of_a_list_the_newest() -> None:
    topic = Topic("t", {"rows": 0, "last": []}, {"last": 3})
    slow, quick = Viewer(topic), Viewer(topic)
    slow.look()
    for rows in range(1, 11):
        topic.tell({"rows": rows}, {"last": [rows]})
        quick.look()
    [frame] = slow.look()
    assert frame == {
        "topic": "t", "number": 10, "after": 0, "change": {"rows": 10}, "append": {"last": [8, 9, 10]},
    }  # fmt: skip
    assert slow.state == quick.state == {"rows": 10, "last": [8, 9, 10]}


def test_those_who_are_late_alike_get_one_frame_whose_text_is_made_once() -> None:
    topic = Topic("t", {"n": 0}, {"list": 5})
    late, later, quick = (topic.subscribe(lambda: None) for _ in range(3))
    for one in (late, later, quick):
        one.take()
    topic.change(n=1)
    quick.take()
    for number in range(2, 5):
        topic.tell({"n": number}, {"list": [number]})
    [first], [second], [third] = late.take(), later.take(), quick.take()
    assert first is second
    assert first == {"topic": "t", "number": 4, "after": 0, "change": {"n": 4}, "append": {"list": [2, 3, 4]}}
    assert third == {"topic": "t", "number": 4, "after": 1, "change": {"n": 4}, "append": {"list": [2, 3, 4]}}
    assert late.take() == []


def test_who_comes_back_gets_what_was_since_and_a_snapshot_where_that_is_not_known_any_more() -> None:
    topic = Topic("t", {"rows": 0})
    viewer = Viewer(topic)
    viewer.look()
    topic.change(rows=1)
    viewer.come_back()
    assert viewer.look() == [{"topic": "t", "number": 1, "change": {"rows": 1}}]
    viewer.come_back()
    assert viewer.look() == []
    for rows in range(1_000):
        topic.change(rows=rows)
    viewer.come_back()
    assert viewer.look() == [{"topic": "t", "number": 1_001, "snapshot": {"rows": 999}}]
    other = Topic("t", {"rows": 7})
    for cursor in ("", "none", viewer.mailbox.cursor, "-1", f"{other.subscribe(lambda: None).cursor}9"):
        assert "snapshot" in other.subscribe(lambda: None, cursor).take()[0], cursor


def test_texts_are_as_short_as_utf_8_has_them_and_halves_of_pairs_are_no_trouble() -> None:
    topic = Topic("t", {"text": "\U0001f600" * 100})
    [frame] = topic.subscribe(lambda: None).take()
    assert len(frame.text.encode()) < 500
    topic = Topic("t", {"text": "\ud83d"})
    [frame] = topic.subscribe(lambda: None).take()
    assert json.loads(frame.text.encode())["snapshot"] == {"text": "\ud83d"}


def test_numbers_that_json_does_not_have_are_null() -> None:
    topic = Topic("t", {"share": float("nan"), "shares": [float("inf"), {"one": 1.5}]})
    [frame] = topic.subscribe(lambda: None).take()
    assert json.loads(frame.text)["snapshot"] == {"share": None, "shares": [None, {"one": 1.5}]}


def test_one_that_has_gone_is_not_woken() -> None:
    topic = Topic("t", {})
    viewer = Viewer(topic)
    assert topic.watched
    viewer.mailbox.close()
    topic.change(rows=1)
    assert not topic.watched
    assert not viewer.woken
