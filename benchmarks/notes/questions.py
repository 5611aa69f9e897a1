"""What is asked, what is compared, and the answer that the committed runs give."""

from typing import NamedTuple


class Question(NamedTuple):
    """A question of ``configs/notes/<name>``.

    Attributes:
        title: the question.
        compared: what differs between the nets.
        answer: what the committed runs say, and what they do not show; empty if not run.
    """

    title: str
    compared: str
    answer: str = ""


SIZES = "The nets have as many parameters within a tenth, and the same images, passes and rates."

SERVED = (
    "Global: the mean over all positions; pyramid: the largest values of the whole and of its "
    "quarters; sliding: a dense layer of every position, slid, and its answers averaged; resizing: "
    f"the same layer, the image made small first. {SIZES}"
)

QUESTIONS = {
    "dilation_images": Question(
        "Dilation, or pooling with shortcuts? Small images",
        f"Residual blocks whose taps move apart, pools or strides between them, or both. {SIZES}",
    ),
    "dilation_digits": Question(
        "Dilation, or pooling with shortcuts? Digits as 64 steps",
        f"Causal residual blocks whose taps move apart, pools or strides, or both. {SIZES}",
    ),
    "dilation_adding": Question(
        "Dilation, or pooling with shortcuts? The adding problem over 128 steps",
        f"Causal residual blocks whose taps move apart, pools or strides, or both. {SIZES}",
    ),
    "pooling": Question(
        "Does the largest value beat the mean, and does it favor sparse features?",
        "Pools of 2 x 2 alone differ. Sparsity is that of Hoyer (2004), of the maps before the "
        f"pools: 0 where all values are alike, 1 where one alone is not 0. {SIZES}",
    ),
    "strides": Question(
        "Do strides replace pools without a loss?",
        "Pools of 3 x 3 every second step; a stride of the convolution before instead; a further "
        f"convolution in the pool's place (Springenberg et al. 2015, section 2). {SIZES}",
    ),
    "windows": Question(
        "Windows that overlap?",
        "The largest of 2 x 2, 3 x 3 and 5 x 5, every second step (Krizhevsky et al. 2012, section "
        f"3.4). {SIZES}",
    ),
    "locality": Question(
        "Are locally connected layers useful where things are centered?",
        "The first layer shares its weights between positions or does not. In the files of MNIST "
        "digits are centered; moved ones lie up to 6 pixels beside, in training and in test. A "
        "first layer that shares nothing has fewer channels, so that parameters are as many.",
    ),
    "locality_faces": Question(
        "Are locally connected layers useful for faces?",
        "The same two nets tell faces in the middle of a patch from patches without one; 100 "
        "patches to train on, 60 in the test (scikit-image).",
    ),
    "stacks": Question(
        "A stack of small convolutions, or one wide one?",
        "Three of 3 x 3 a stage or one of 7 x 7, which see as far (Simonyan and Zisserman 2015, "
        f"section 2.3). {SIZES}",
    ),
    "edges": Question(
        "Zeros around the image, or none?",
        f"Every convolution puts zeros around its input or is read where it fits. {SIZES}",
    ),
    "sizes_larger": Question(
        "How to serve images of another size? Digits drawn larger",
        "Trained and validated on images of 28 x 28, tested on the same digits drawn 40 x 40. "
        f"{SERVED}",
    ),
    "sizes_surrounded": Question(
        "How to serve images of another size? Digits with more around them",
        "Trained and validated on images of 28 x 28, tested on digits of the same size somewhere "
        f"in 40 x 40. {SERVED}",
    ),
}
