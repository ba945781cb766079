"""Every column and every word of the page, in a line each."""

from __future__ import annotations

__all__ = ["DEFINITIONS", "WORDS"]

DEFINITIONS = (
    "A draw holds out a third of the series (one of two) with all their samples, keeps r training samples of one label over "
    "as many series as there are, and at most a fixed number of every other label. Genes, scale and principal components "
    "are learnt from these training samples alone. All arms of a draw have the same samples and the same features.",
    "The classifier is multinomial logistic regression with C = 1. In every arm but none, real and synthetic samples of the "
    "label together weigh what balanced class weights give it, so that no arm gains by weight alone. An arm makes "
    "samples once for the largest amount, and smaller amounts are the first of them.",
    "Intervals resample data sets where there are several, repeats and labels within them, and held-out series within each "
    "repeat; p is two-sided from the same resamples, with Holm's correction over arms and amounts.",
    "An arm is accepted if the 95 % interval of its gain of AUPRC over the best cheap arm lies above 0 and its p after "
    "Holm's correction is at most 0.05. The best cheap arm is chosen on the same draws, which is in its favour.",
)
WORDS = (
    ("none", "The training samples as they are, each weighing 1."),
    ("class_weight", "The same with all labels weighing the same: what every arm is compared to."),
    ("oversample", "Copies of the label's samples."),
    ("smote, borderline_smote, adasyn", "Points between neighbouring samples of the label (imbalanced-learn)."),
    ("noise", "Copies with Gaussian noise."),
    ("mixup", "Points between any two samples of the label."),
    ("mvn", "A normal distribution with the label's mean and a shrunk covariance within all labels."),
    ("gan, vae, diffusion", "Generators trained on all labels of the training samples."),
    ("gan_reference", "The GAN of a published notebook at reduced width, on the label's samples alone."),
    ("gan_shuffled, vae_shuffled, gan_other", "Null controls: labels shuffled, or samples of another label."),
    ("AUPRC", "Average precision of the label among all held-out samples."),
    ("x5, median", "Synthetic samples for each real one, or as many as fill the label up to the median size."),
    ("TSTR, TRTS", "F1 with the label synthetic in training and real in the test, and the reverse."),
    (
        "copies",
        "More than half of the samples are closer to a training sample than these nearly ever are to one another.",
    ),
    ("collapsed", "Samples are far fewer, closer together or flatter than real ones."),
)
