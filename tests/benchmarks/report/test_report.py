import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks.grid.runs import SEARCH
from benchmarks.grid.store import Store
from benchmarks.report.paper import TASKS
from benchmarks.report.plots import (
    LOOKS,
    curve,
    draw_curves,
    draw_final,
    draw_trials,
    figures,
    look,
)
from benchmarks.report.report import write_report
from benchmarks.report.sections import sections
from benchmarks.report.summary import summarize

VOID = {"meta", "br", "hr", "img", "link", "input"}
SELF_CLOSED = {"path", "use", "line", "rect", "circle", "polygon", "image"}


class Page(HTMLParser):
    """Reads a page as a tree would be read: every tag that opens closes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag, attrs):
        self._note(attrs)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data.strip())

    def _note(self, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src", "xlink:href", "srcset", "data"):
                self.references.append(value)


@pytest.fixture(scope="module")
def reports(tmp_path_factory, make_result):
    """The texts of report.md and report.html."""
    store = Store(tmp_path_factory.mktemp("results"))
    # TCN: mean 3e-5, sample deviation 1e-5. LSTM: 0.25 once, one run failed. GRU: nothing.
    for seed, value in enumerate((2e-5, 3e-5, 4e-5)):
        store.write(make_result(seed=seed, test=value, validation=(0.3, 1e-4)))
    store.write(make_result(model="lstm", seed=0, test=0.25))
    store.write(make_result(model="lstm", seed=1, status="failed"))
    store.write(make_result(model="rnn", seed=0, test=0.2, overrides=("trainer.max_epochs=2",)))
    store.write(make_result("jsb", "tcn", 0, key="nll", test=8.1234))
    begun = make_result(
        "ptb_characters", "tcn", 0, key="bits", validation=(1.9, 1.5432, 1.6), status="unfinished"
    )
    begun.best = {"epoch": 2, "value": 1.5432}
    store.write(begun)
    return [path.read_text() for path in write_report(store)]


@pytest.fixture
def markdown(reports):
    return reports[0]


@pytest.fixture
def page(reports):
    return reports[1]


EXPECTED = [
    "(3.00 ± 1.00)e-5",
    "0.250",
    "0.200",
    "70,369",
    "5.8e-5",  # the paper's
    "0.167",  # chance
    "8.12",
    "8.10",
    "0:04",  # wall time
    "512",
    "0123456789",
    "A Processor, 2 cores, 16 GiB, no GPU",
    "training loss is nan in epoch 2, batch 3",
    "python -m benchmarks run --tasks adding_600 --models gru --seeds 0 1 2",
    "trainer.max_epochs=2",
    "Begun, not finished",
    "1.543",  # of an unfinished run
    "3 of 9",  # its epochs
    "python -m benchmarks run --tasks ptb_characters --models tcn --seeds 0",
]


@pytest.mark.parametrize("text", EXPECTED)
def test_both_reports_hold_every_number(reports, text):
    assert all(text in report for report in reports)


def test_the_winner_and_the_failed_are_marked(markdown, page):
    assert "**(3.00 ± 1.00)e-5**" in markdown
    assert "| 1 (1 failed) |" in markdown
    assert len(re.findall(r'class="best">\(3.00 ± 1.00\)e-5<', page)) == 2  # in Table 1, and below
    assert "+ 1 failed" in page
    assert ">1 seed" in page
    assert "1 seeds" not in page


def test_html_parses_and_needs_nothing_from_outside(page):
    parsed = Page(page)
    assert parsed.open == []
    assert all(reference.startswith("#") for reference in parsed.references)
    assert "http" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "<script" not in page


def test_ids_are_unique_and_every_reference_has_one(page):
    parsed = Page(page)
    assert len(set(parsed.ids)) == len(parsed.ids)
    targets = {reference[1:] for reference in parsed.references}
    targets |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert targets <= set(parsed.ids)


def test_text_from_results_cannot_become_markup(tmp_path, make_result):
    store = Store(tmp_path)
    result = make_result(status="failed")
    result.reason = "<b>loss</b>"
    store.write(result)
    assert "&lt;b&gt;loss" in write_report(store)[1].read_text()


def test_markdown_tables_are_regular(markdown):
    blocks = [block for block in markdown.split("\n\n") if block.startswith("|")]
    # Table 1, costs of the two tasks with results, no other settings, unfinished, a table of each.
    assert [len(block.splitlines()) for block in blocks] == [13, 4, 2, 3, 6, 6]
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_report_elsewhere(tmp_path, make_result):
    store = Store(tmp_path / "results")
    store.write(make_result())
    paths = write_report(store, tmp_path / "out")
    assert [path.parent for path in paths] == [tmp_path / "out"] * 2


def test_no_results(tmp_path):
    with pytest.raises(ValueError, match=r"no results in .*; make some with"):
        write_report(Store(tmp_path))


def test_curve_is_the_mean_over_seeds_up_to_the_first_to_stop(make_result):
    results = [
        make_result(seed=0, validation=(0.4, 0.2, 0.1)),
        make_result(seed=1, validation=(0.6, 0.4)),
    ]
    (summary,) = summarize(results)
    positions, values = curve(summary.rows[0], summary.task.metric, "step")
    np.testing.assert_array_equal(positions, [10, 20])
    np.testing.assert_allclose(values.mean(axis=0), [0.5, 0.3])


@pytest.mark.parametrize(("lowest", "scale"), [(1e-4, "log"), (0.1, "linear")])
def test_scale_is_logarithmic_where_values_span_decades(make_result, lowest, scale):
    (summary,) = summarize([make_result(validation=(0.4, lowest), test=lowest)])
    axes = Figure().subplots()
    draw_curves(axes, summary, "seconds")
    assert axes.get_yscale() == scale


def test_each_seed_is_a_dot_and_chance_a_line(make_result):
    (summary,) = summarize(make_result(seed=s, test=v) for s, v in enumerate((0.2, 0.4, 0.6)))
    axes = Figure().subplots()
    draw_final(axes, summary)
    dots = [points for points in axes.collections if len(points.get_offsets()) == 3]
    np.testing.assert_allclose(dots[0].get_offsets()[:, 0], [0.2, 0.4, 0.6])
    vertical = [line.get_xdata()[0] for line in axes.lines]
    assert pytest.approx(1 / 6) in vertical
    assert pytest.approx(0.4) in vertical


def test_a_task_whose_every_run_failed_still_has_figures(make_result):
    (summary,) = summarize([make_result(status="failed")])
    assert all(svg.startswith("<svg") for _, svg in figures(summary))


def test_models_look_different_and_the_same_everywhere():
    assert len({each.color for each in LOOKS.values()}) == len(LOOKS)
    assert len({each.marker for each in LOOKS.values()}) == len(LOOKS)
    assert look("wavenet") == look("wavenet")


def test_a_search_shows_the_best_trial_of_each_model_and_no_test(tmp_path, make_result):
    store = Store(tmp_path)
    drawn = "model.init_args.optimizer.init_args.lr=0.00123"
    optimizer = "model.init_args.optimizer.class_path=torch.optim.AdamW"
    trials = [
        make_result(validation=(0.4, 0.2)),
        make_result(seed=1, validation=(0.3, 0.1234), overrides=(drawn, optimizer)),
        make_result(seed=2, status="failed", validation=(0.6, 0.5)),
        make_result(model="gru", validation=(0.4, 0.3)),
    ]
    for trial in trials:
        store.write(replace(trial, settings=SEARCH, test={}))
    (found,) = sections(store, [])
    assert found["name"] == "searches"
    (table,) = found["tables"]
    tcn, gru = table.rows
    # Median by hand: of 0.1234 and 0.2, the third having diverged.
    settings = ["70,369", "lr 0.00123"]
    assert tcn[1:] == ["TCN", "3 (1 diverged)", "20", "0.1234", "0.1617", *settings]
    assert gru[1:] == ["GRU", "1", "20", "0.3000", "0.3000", "70,369", "the config"]
    assert "all diverged" not in str(found["tables"])


def test_a_search_tells_the_commands_that_made_it_and_steps_that_differ(tmp_path, make_result):
    store = Store(tmp_path)
    asked = "python -m benchmarks search --task adding_600 --models tcn --trials 2"
    for seed, epochs in enumerate((1, 2)):
        trial = make_result("adding_600", "wavenet", seed, validation=(0.2,) * epochs)
        command = f"{asked} --results somewhere --workers 1 --threads=2"
        store.write(replace(trial, settings=SEARCH, test={}, command=command))
    trial = make_result("adding_600", "gru", status="failed")
    store.write(replace(trial, settings=SEARCH, test={}, command=asked))
    (found,) = sections(store, [])
    assert [command for _, command in found["notes"]] == [asked]
    gru, wavenet = found["tables"][0].rows
    assert gru[-1] == "all diverged"
    assert wavenet[2:4] == ["2", "10 to 20"]
    markdown, _ = (path.read_text() for path in write_report(store))  # of a search alone
    assert "| 2 | 10 to 20 |" in markdown


def test_a_folder_that_cannot_be_written_is_named(tmp_path, make_result):
    store = Store(tmp_path / "results")
    store.write(make_result())
    output = tmp_path / "output"
    output.mkdir()
    (output / "report.html").mkdir()  # where a file is to be written
    with pytest.raises(
        ValueError, match=r"the report cannot be written into .*output \(.*give another folder"
    ):
        write_report(store, output)


def test_trials_are_dots_and_the_best_has_a_ring(make_result):
    trials = {
        "tcn": [make_result(seed=seed, validation=(value,)) for seed, value in ((1, 2), (0, 3))]
    }
    axes = Figure().subplots()
    draw_trials(axes, TASKS["adding_600"], trials)
    dots, ring = (each.get_offsets().data for each in axes.collections)
    assert dots[:, 0].tolist() == [2, 3]
    assert dots[0, 1] > dots[1, 1]  # trial 0 first, further up (the axis points down)
    np.testing.assert_array_equal(ring, dots[:1])
