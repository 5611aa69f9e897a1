"""Folders of pictures, whole and broken."""

import os
import shutil
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from tcn.data.loading import SPLITS
from tcn.vision import ImageFolder


def picture(path: Path, values: numpy.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures of a cat, six of a dog, 8 high and 6 wide, in color."""
    generator = numpy.random.default_rng(0)
    for name, count in (("cat", 5), ("dog", 6)):
        for number in range(count):
            values = generator.integers(0, 256, (8, 6, 3), dtype=numpy.uint8)
            picture(tmp_path / "all" / name / f"{number}.png", values)
    return tmp_path / "all"


def folder(root: Path, **settings) -> ImageFolder:
    return ImageFolder(
        **{"folder": root, "test": 3, "color": True, "validation_size": 2, **settings}
    )


def test_pictures_are_read_with_their_classes(pictures: Path) -> None:
    (pictures / "cat" / ".hidden").write_bytes(b"no picture")
    (pictures / ".thumbnails").mkdir()
    data = folder(pictures)
    assert data.class_names == ("cat", "dog")
    assert (data.in_channels, data.out_channels) == (3, 2)
    assert [len(data.dataset(split)) for split in SPLITS] == [6, 2, 3]
    labels = torch.cat([data.dataset(split).labels for split in SPLITS])
    assert labels.bincount().tolist() == [5, 6]
    image = numpy.asarray(Image.open(pictures / "dog" / "0.png")).transpose(2, 0, 1)
    everything = torch.cat([data.dataset(split).images for split in SPLITS])
    (where,) = (everything == torch.from_numpy(image.copy())).flatten(1).all(1).nonzero()[0]
    assert labels[where] == 1


def test_test_images_may_have_a_folder_of_their_own(pictures: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        picture(tmp_path / "test" / name / "1.png", numpy.zeros((8, 6, 3), numpy.uint8))
    data = folder(pictures, test=tmp_path / "test")
    assert [len(data.dataset(split)) for split in SPLITS] == [9, 2, 2]
    picture(tmp_path / "test" / "cow" / "1.png", numpy.zeros((8, 6, 3), numpy.uint8))
    with pytest.raises(ValueError, match=r"test: the classes of .* \['cow'\] are in one of them"):
        folder(pictures, test=tmp_path / "test").setup("test")


def test_gray_and_color_are_made_alike(pictures: Path) -> None:
    """A gray picture has three equal channels; Pillow's gray of (r, g, b) is ITU-R 601's."""
    gray = numpy.full((8, 6), 77, numpy.uint8)
    picture(pictures / "cat" / "0.png", gray)
    images, _ = folder(pictures).read("train")
    images = torch.cat([images, folder(pictures).read("test")[0]])
    assert (images == 77).flatten(1).all(1).sum() == 1
    color = numpy.empty((8, 6, 3), numpy.uint8)
    color[:] = (200, 100, 50)
    for path in pictures.rglob("*.png"):
        picture(path, color)
    images, _ = folder(pictures, color=False).read("train")
    assert images.shape == (8, 1, 8, 6)
    assert images.unique().tolist() == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]


def test_sizes_are_scaled_to_or_must_agree(pictures: Path) -> None:
    picture(pictures / "dog" / "9.png", numpy.zeros((9, 6, 3), numpy.uint8))
    with pytest.raises(
        ValueError, match=r"size: .*9.png has height and width \(9, 6\) and .* has \(8, 6\); give"
    ):
        folder(pictures).setup("fit")
    assert folder(pictures, size=4).dataset("train").images.shape[1:] == (3, 4, 4)
    assert folder(pictures, size=(4, 5)).dataset("train").images.shape[1:] == (3, 4, 5)


def test_scaling_keeps_the_proportions(tmp_path: Path) -> None:
    """Of a picture twice as wide as high the middle half is left: red, blue, green cuts to blue."""
    wide = numpy.zeros((8, 16, 3), numpy.uint8)
    wide[:, :4, 0] = wide[:, 4:12, 2] = wide[:, 12:, 1] = 255
    for number in range(3):
        picture(tmp_path / "a" / f"{number}.png", wide)
    (tmp_path / "b").symlink_to("a")
    images, _ = folder(tmp_path, size=8, test=1, validation_size=1).read("train")
    assert images[0].amax(dim=(1, 2)).tolist() == [0, 0, 255]
    assert images[0, 2].unique().tolist() == [255]


def test_broken_files_are_all_named_and_nothing_is_read(pictures: Path) -> None:
    whole = (pictures / "cat" / "1.png").read_bytes()
    (pictures / "cat" / "1.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "dog" / "notes.txt").write_text("not a picture")
    Image.fromarray(numpy.zeros((8, 6), numpy.uint16)).save(pictures / "dog" / "deep.png")
    data = folder(pictures)
    with pytest.raises(ValueError, match=r"folder: 3 of 13 files are not images that") as caught:
        data.setup("fit")
    for said in (r"cat/1.png: ", "dog/notes.txt: ", "deep.png: mode I;16 has more than 8 bits"):
        assert said in str(caught.value)
    for name in ("cat/1.png", "dog/notes.txt", "dog/deep.png"):
        (pictures / name).unlink()
    data.setup("fit")  # once mended
    assert len(data.dataset("train")) == 5


def test_folders_without_pictures_are_refused(pictures: Path, tmp_path: Path) -> None:
    (pictures / "bird").mkdir()
    with pytest.raises(ValueError, match=r"folder: the class folders \['bird'\] of .* are empty"):
        folder(pictures)
    with pytest.raises(ValueError, match=r"folder: .*/cat has no folders; put the images of each"):
        folder(pictures / "cat")
    with pytest.raises(ValueError, match=r"folder: .*/none is not a folder; give one with"):
        folder(tmp_path / "none")
    (pictures / "bird").rmdir()
    with pytest.raises(ValueError, match="test must be at least 1, got 0"):
        folder(pictures, test=0)
    with pytest.raises(TypeError, match="color: 'no' is not True or False"):
        folder(pictures, color="no")


def test_links_and_pipes_that_are_no_images_are_named(pictures: Path) -> None:
    """A link to nothing, one to a folder, and a pipe, which would keep a reader waiting."""
    (pictures / "cat" / "gone.png").symlink_to(pictures / "cat" / "none.png")
    (pictures / "cat" / "dogs").symlink_to(pictures / "dog")
    os.mkfifo(pictures / "dog" / "pipe.png")
    with pytest.raises(ValueError, match="folder: 3 of 14 files are not images") as caught:
        folder(pictures).setup("fit")
    for name in ("cat/gone.png", "cat/dogs", "dog/pipe.png"):
        assert f"{name}: neither a file nor a link to one" in str(caught.value)


def test_whatever_a_decoder_raises_names_the_file(pictures: Path) -> None:
    """The decoder of AVIF raises RuntimeError; half a file is enough."""
    path = pictures / "cat" / "half.avif"
    picture(path, numpy.zeros((8, 6, 3), numpy.uint8))
    content = bytearray(path.read_bytes())
    content[-8:] = bytes(8)
    path.write_bytes(content[:-8])
    with pytest.raises(ValueError, match=r"folder: 1 of 12 files .*\n.*cat/half.avif: "):
        folder(pictures).setup("fit")


def test_training_and_test_images_are_others(pictures: Path) -> None:
    with pytest.raises(ValueError, match=r"test: .* is the folder of the training images; give"):
        folder(pictures, test=pictures / ".." / pictures.name)
    with pytest.raises(
        ValueError, match=r"test: 11 of the 11 images of .* leave none for training"
    ):
        folder(pictures, test=11).setup("fit")


def test_one_class_is_enough_for_density_estimation_alone(pictures: Path) -> None:
    shutil.rmtree(pictures / "dog")
    with pytest.raises(ValueError, match=r"folder: .* has one class folder, 'cat', and nothing to"):
        folder(pictures)
    assert len(folder(pictures, targets="values", test=1).dataset("train")) == 2


@pytest.mark.parametrize("argument", ["folder", "test"])
def test_folders_are_paths(pictures: Path, argument: str) -> None:
    with pytest.raises(TypeError, match=f"{argument}(: None is not a path; give| must be an int)"):
        folder(pictures, **{argument: None})
