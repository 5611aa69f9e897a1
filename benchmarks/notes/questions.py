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
        "Either: taps that move apart reach 98.32 ± 0.07 %, pools 98.24 ± 0.04 %, both 98.43 "
        "± 0.12 %, which the spread over seeds does not tell apart, and without pools an "
        "image takes nearly five times the multiplications. Strides alone are behind (97.71 ± "
        "0.16 %). Larger things in larger images are not shown.",
    ),
    "dilation_digits": Question(
        "Dilation, or pooling with shortcuts? Digits as 64 steps",
        f"Causal residual blocks whose taps move apart, pools or strides, or both. {SIZES}",
        "Not decided: dilation 97.4 ± 0.8 %, pools 98.2 ± 0.2 %, strides 98.1 ± 1.8 %, both "
        "97.9 ± 0.5 %. The test has 300 digits, and seeds differ by as much as nets.",
    ),
    "dilation_adding": Question(
        "Dilation, or pooling with shortcuts? The adding problem over 128 steps",
        f"Causal residual blocks whose taps move apart, pools or strides, or both. {SIZES}",
        "Dilation, and without pools: its MSE is 0.0036 ± 0.0007, that of pools 0.0918 ± "
        "0.0002, of strides 0.0914 ± 0.0030, and surprisingly that of both 0.0930 ± 0.0028; "
        "the mean as an answer gives 0.1667. More passes, other widths and readouts than the "
        "last step are not shown.",
    ),
    "pooling": Question(
        "Does the largest value beat the mean, and does it favor sparse features?",
        "Pools of 2 x 2 alone differ. Sparsity is that of Hoyer (2004), of the maps before the "
        f"pools: 0 where all values are alike, 1 where one alone is not 0. {SIZES}",
        "It does: 97.52 ± 0.20 % for the largest value and 96.97 ± 0.33 % for the mean, and "
        "its maps are a little sparser (0.553 ± 0.003 and 0.513 ± 0.004). Whether they are "
        "the reason is not shown.",
    ),
    "strides": Question(
        "Do strides replace pools without a loss?",
        "Pools of 3 x 3 every second step; a stride of the convolution before instead; a further "
        f"convolution in the pool's place (Springenberg et al. 2015, section 2). {SIZES}",
        "Not here: pools reach 98.53 ± 0.10 %, strides of the convolutions before 97.77 ± "
        "0.07 %, and a further convolution 97.86 ± 0.15 %. That one has fewer channels, so "
        "that parameters are as many; nets of as many channels, as in the paper, are not "
        "shown.",
    ),
    "windows": Question(
        "Windows that overlap?",
        "The largest of 2 x 2, 3 x 3 and 5 x 5, every second step (Krizhevsky et al. 2012, section "
        f"3.4). {SIZES}",
        "They help: 97.52 ± 0.20 % with 2 x 2, 97.84 ± 0.25 % with 3 x 3 and 98.48 ± 0.09 % "
        "with 5 x 5. A wider window also lets three stages see further; which of the two "
        "helps is not shown.",
    ),
    "locality": Question(
        "Are locally connected layers useful where things are centered?",
        "The first layer shares its weights between positions or does not. In the files of MNIST "
        "digits are centered; moved ones lie up to 6 pixels beside, in training and in test. A "
        "first layer that shares nothing has fewer channels, so that parameters are as many.",
        "Not here: where digits are centered, shared weights reach 97.62 ± 0.06 % and others "
        "95.74 ± 0.10 %, where they are moved 96.68 ± 0.18 and 89.43 ± 0.44 %. What is "
        "centered makes the loss smaller, not a gain; more images to learn from, or as many "
        "channels, are not shown.",
    ),
    "locality_faces": Question(
        "Are locally connected layers useful for faces?",
        "The same two nets tell faces in the middle of a patch from patches without one; 100 "
        "patches to train on, 60 in the test (scikit-image).",
        "Not decided: shared weights find 99.4 ± 1.0 % and others 98.3 ± 2.9 % of 60 "
        "patches. Whether there is a difference where the task is harder is not shown.",
    ),
    "stacks": Question(
        "A stack of small convolutions, or one wide one?",
        "Three of 3 x 3 a stage or one of 7 x 7, which see as far (Simonyan and Zisserman 2015, "
        f"section 2.3). {SIZES}",
        "Three of 3 x 3 reach 98.28 ± 0.25 %, one of 7 x 7 98.15 ± 0.15 %: so few seeds do "
        "not tell them apart, and the three take 1.4 times the multiplications. Deeper nets "
        "and nets of other widths are not shown.",
    ),
    "edges": Question(
        "Zeros around the image, or none?",
        f"Every convolution puts zeros around its input or is read where it fits. {SIZES}",
        "None: 98.35 ± 0.02 % without them and 97.52 ± 0.20 % with them. After normalization "
        "zeros are no longer black, so they frame the digit; whether that is the reason, and "
        "what holds where things reach the edge, is not shown.",
    ),
    "sizes_larger": Question(
        "How to serve images of another size? Digits drawn larger",
        "Trained and validated on images of 28 x 28, tested on the same digits drawn 40 x 40. "
        f"{SERVED}",
        "By making the image small first: 96.06 ± 1.14 %. The pyramid reaches 66.40 ± 0.86 %, "
        "and sliding (14.93 ± 2.81 %) and the mean of all positions (11.59 ± 0.38 %) hardly "
        "more than chance, though all are above 97 % at 28 x 28. Nets trained with several "
        "sizes are not shown.",
    ),
    "sizes_surrounded": Question(
        "How to serve images of another size? Digits with more around them",
        "Trained and validated on images of 28 x 28, tested on digits of the same size somewhere "
        f"in 40 x 40. {SERVED}",
        "None does it well: the pyramid reaches 69.72 ± 2.97 %, resizing 54.49 ± 3.73 %, "
        "sliding 31.68 ± 5.48 %, and the mean of all positions, which the empty ones dilute, "
        "25.37 ± 4.18 %. Nets trained with empty surroundings are not shown.",
    ),
}
