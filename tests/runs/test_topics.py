"""Topics: whoever subscribes, whenever, and however slow, ends with the state that the engine has."""

from __future__ import annotations

from hypothesis import given, strategies as st

from workbench.runs.topics import Frame, Mailbox, Topic


class Viewer:
    """Keeps the state that the frames say, and takes nothing that is out of order."""

    def __init__(self, topic: Topic, most: int = 64) -> None:
        self.woken = 0
        self.state: dict[str, object] | None = None
        self.number = self.dropped = 0
        self.ended = False
        self.mailbox: Mailbox = topic.subscribe(self.wake, most)

    def wake(self) -> None:
        self.woken += 1

    def look(self) -> list[Frame]:
        frames = self.mailbox.take()
        for frame in frames:
            assert not self.ended
            if "snapshot" in frame:
                assert frame["number"] >= self.number
                self.state, self.number = dict(frame["snapshot"]), frame["number"]
                self.dropped += frame.get("dropped", 0)
            elif "change" in frame:
                assert self.state is not None
                assert frame["number"] == self.number + 1
                self.state.update(frame["change"])
                self.number = frame["number"]
            else:
                self.ended = True
        return frames


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from(["rows", "state"]), st.integers(0, 3)),
        st.tuples(st.just("look"), st.integers(0, 3), st.none()),
        st.tuples(st.just("come"), st.integers(1, 4), st.none()),
        st.tuples(st.just("end"), st.none(), st.none()),
    ),
    max_size=40,
)


@given(acts=ACTS)
def test_every_viewer_ends_with_the_state_of_the_engine(acts: list[tuple[str, object, object]]) -> None:
    topic, state, number = Topic("t", {"rows": 0}), {"rows": 0}, 0
    viewers = [Viewer(topic)]
    for act, what, value in acts:
        if act == "change" and not topic.ended:
            number += state.get(str(what), -1) != value
            state[str(what)] = value  # type: ignore[assignment]
            topic.change(**{str(what): value})
        elif act == "look":
            viewers[int(what) % len(viewers)].look()  # type: ignore[call-overload]
        elif act == "come":
            viewers.append(Viewer(topic, int(what)))  # type: ignore[call-overload]
        elif act == "end":
            topic.end()
    for viewer in viewers:
        viewer.look()
        assert viewer.state == state
        assert viewer.number == topic.number == number
        assert viewer.ended == topic.ended


def test_a_change_that_changes_nothing_is_not_told() -> None:
    topic = Topic("t", {"rows": 1})
    viewer = Viewer(topic)
    viewer.look()
    topic.change(rows=1)
    assert not viewer.woken
    assert viewer.look() == []


def test_the_slow_get_a_snapshot_that_says_how_much_it_stands_for() -> None:
    topic = Topic("t", {"rows": 0})
    slow, quick = Viewer(topic, most=3), Viewer(topic, most=3)
    slow.look()
    for rows in range(1, 11):
        topic.change(rows=rows)
        quick.look()
    assert [set(frame) for frame in slow.look()] == [{"topic", "number", "snapshot", "dropped"}]
    assert (slow.state, slow.dropped) == ({"rows": 10}, 10)
    assert (quick.state, quick.dropped) == ({"rows": 10}, 0)


def test_one_that_has_gone_is_not_woken() -> None:
    topic = Topic("t", {})
    viewer = Viewer(topic)
    assert topic.watched
    viewer.mailbox.close()
    topic.change(rows=1)
    assert not topic.watched
    assert not viewer.woken
