"""Files of the UCR and UEA archives: what their headers promise, and what breaks them."""

from pathlib import Path

import numpy as np
import pytest

from tcn.data import load_ts

HEADER = "# a comment\n@problemName Toy\n@univariate false\n@classLabel true a b\n@data\n"


def write(path: Path, text: str) -> Path:
    (path / "toy.ts").write_text(text)
    return path / "toy.ts"


def test_series_and_labels_by_hand(tmp_path: Path) -> None:
    X, y = load_ts(write(tmp_path, HEADER + "1,2,?:4,5,6:a\n\n-1,2e1,0:7,8,9: b \n"))
    assert isinstance(X, np.ndarray)
    np.testing.assert_array_equal(X, [[[1, 2, np.nan], [4, 5, 6]], [[-1, 20, 0], [7, 8, 9]]])
    assert y.tolist() == ["a", "b"]


def test_files_without_labels_and_of_other_editors(tmp_path: Path) -> None:
    lines = [
        "\ufeff@classLabel\tfalse",
        "@dimensions 2",
        "@data",
        "  # a remark",
        "1,2:4,5",
        "3,4:6,7",
    ]
    path = tmp_path / "toy.ts"
    path.write_bytes("\r\n".join(lines).encode())
    X, y = load_ts(path)
    assert y is None
    assert np.array(X).tolist() == [[[1, 2], [4, 5]], [[3, 4], [6, 7]]]


def test_several_lengths_are_a_list_and_targets_are_numbers(tmp_path: Path) -> None:
    X, y = load_ts(write(tmp_path, "@targetlabel true\n@DATA\n1,2,3:0.5\n4,5:-2\n"))
    assert [each.tolist() for each in X] == [[[1, 2, 3]], [[4, 5]]]
    assert y.tolist() == [0.5, -2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "1,2,3:4,5,6\n", r"line 6: label '4,5,6' is not one of the header's \['a', 'b'"),
        (HEADER + "1,2:3,4:a\n1,2:3,4:wal\n", "line 7: label 'wal' is not one of"),
        (
            "@dimensions 3\n@data\n1:2:a\n",
            "2 dimensions and 1 steps; the header says",
        ),
        ("@univariate true\n@data\n1:2:a\n", "the header says @dimensions 1"),
        ("@equalLength true\n@seriesLength 3\n@data\n1,2:a\n", "header says @serieslength 3"),
        ("@targetlabel  true\n@data\n1:?\n", "line 3: '\\?' is not a number"),
        ("@timeStamps\ttrue\n@data\n(0,1):a\n", "its values have times"),
        ("@problemName Toy\n1,2:a\n", "line 2: '1,2:a' before @data"),
        ("@problemName Toy\n", "no line @data"),
        ("@data\n", "no series follow @data"),
        ("@timeStamps true\n@data\n(0,1):a\n", "its values have times"),
        ("@data\n1,2,3\n", "line 2: no label"),
        ("@data\n1,2:\n", "line 2: no label"),
        ("@data\n1,x:a\n", "line 2: 'x' is not a number"),
        ("@data\n1,,2:a\n", "line 2: '' is not a number"),
        ("@data\n1,2:3:a\n", r"line 2: dimensions of \[1, 2\] steps"),
        ("@data\n1:2:a\n1:b\n", "line 3: 1 dimensions; the first series has 2"),
        ("@targetlabel true\n@data\n1,2:tall\n", "line 3: 'tall' is not a number"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        load_ts(write(tmp_path, text))
    assert "toy.ts" in str(raised.value)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "toy.ts").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(ValueError, match=r"toy\.ts: not text"):
        load_ts(tmp_path / "toy.ts")


@pytest.mark.requires_data("ucr_uea")
@pytest.mark.parametrize(
    ("name", "part", "series", "channels", "lengths", "classes"),
    [  # as the archive's page of each states
        ("GunPoint", "TRAIN", 50, 1, (150, 150), 2),
        ("GunPoint", "TEST", 150, 1, (150, 150), 2),
        ("BasicMotions", "TRAIN", 40, 6, (100, 100), 4),
        ("JapaneseVowels", "TRAIN", 270, 12, (7, 26), 9),
        ("JapaneseVowels", "TEST", 370, 12, (7, 29), 9),
    ],
)
def test_real_files_have_the_published_sizes(
    data_dir: Path, name: str, part: str, series: int, channels: int, lengths: tuple[int, int],
    classes: int,
) -> None:  # fmt: skip
    X, y = load_ts(data_dir / "ucr_uea" / name / f"{name}_{part}.ts")
    assert (len(X), len(y), len(set(y.tolist()))) == (series, series, classes)
    assert {len(each) for each in X} == {channels}
    steps = [each.shape[1] for each in X]
    assert (min(steps), max(steps)) == lengths
