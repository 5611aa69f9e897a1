import io
import json

import pytest
from rich.console import Console

from benchmarks.grid.journal import JournalReader, JournalWriter
from benchmarks.grid.overview import Overview, Progress, clock
from benchmarks.grid.runs import Run

EPOCH = {"epoch": 2, "epochs": 4, "metric": "val_mse", "value": 0.125, "seconds": 61.0}


def text_of(overview: Overview) -> str:
    console = Console(file=io.StringIO(), width=100, height=40)
    console.print(overview.render())
    return console.file.getvalue()


def test_journal_is_read_on_from_where_it_was(tmp_path):
    writer, reader = JournalWriter(tmp_path), JournalReader(tmp_path)
    assert list(reader.events()) == []
    writer.write("start", epochs=4, after=0)
    assert list(reader.events()) == [{"event": "start", "epochs": 4, "after": 0}]
    assert list(reader.events()) == []
    writer.write("epoch", **EPOCH)
    assert [event["event"] for event in reader.events()] == ["epoch"]


def test_journal_survives_torn_lines_and_a_new_file(tmp_path):
    path = tmp_path / "journal.jsonl"
    reader = JournalReader(tmp_path)
    path.write_text('{"event": "start"}\nnonsense\n{"event": "ep')
    assert list(reader.events()) == [{"event": "start"}]
    with path.open("a") as file:
        file.write('och"}\n')
    assert list(reader.events()) == [{"event": "epoch"}]
    path.write_text('{"event": "new"}\n')
    assert list(reader.events()) == [{"event": "new"}]


def test_progress_follows_the_journal():
    entry = Progress(Run("adding_600", "tcn", 0))
    assert not entry.apply({"event": "start", "epochs": 4, "after": 1})
    assert entry.done == 0.25
    entry.apply({"event": "progress", "epoch": 1, "epochs": 4, "fraction": 0.5, "seconds": 1.0})
    assert entry.done == 0.375
    assert entry.apply({"event": "epoch", **EPOCH})
    assert entry.done == 0.5
    entry.set_state("running")
    described = entry.describe()
    assert described == "adding_600/tcn seed 0: running, epoch 2/4, val_mse 0.125, 61 s"


def test_unknown_events_change_nothing():
    entry = Progress(Run("adding_600", "tcn", 0))
    before = json.dumps(vars(entry), default=str)
    entry.apply({"event": "from the future"})
    entry.apply({})
    assert json.dumps(vars(entry), default=str) == before


def test_a_diverged_metric_is_shown_as_such():
    entry = Progress(Run("adding_600", "tcn", 0), state="running")
    entry.apply({"event": "epoch", **EPOCH, "value": None})
    assert "val_mse not finite" in entry.describe()


def test_table_has_the_running_first_and_counts_the_rest():
    entries = [Progress(Run("digits", "tcn", seed)) for seed in range(60)]
    entries[50].set_state("running")
    entries[50].apply({"event": "epoch", **EPOCH})
    entries[51].set_state("finished")
    lines = text_of(Overview(entries, Console(file=io.StringIO(), height=20))).splitlines()
    assert lines[1].split()[:5] == ["digits", "tcn", "50", "running", "2/4"]
    assert "mse 0.125" in lines[1]
    assert "... and 45 more" in lines[-2]
    assert "1 running" in lines[-1]
    assert "58 waiting" in lines[-1]


def test_plain_lines_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), width=40)
    entry = Progress(Run("digits", "tcn", 0), state="running")
    with Overview([entry], console) as overview:
        overview.state_changed(entry)
        entry.apply({"event": "epoch", **EPOCH})
        overview.epoch_finished(entry)  # too soon after the last line
        entry.set_state("finished")
        overview.state_changed(entry)
    assert console.file.getvalue().splitlines() == [
        "digits/tcn seed 0: running",
        "digits/tcn seed 0: finished, epoch 2/4, val_mse 0.125, 61 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (75.2, "1:15"), (59.7, "1:00"), (3725, "1:02:05")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
