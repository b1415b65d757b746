//! Comparing what two models say of the same images: labels, order of scores, distances.
//!
//! The label of an image is the index of the largest element of the compared output; NaN counts as minus infinity. An image whose
//! labels differ is a flip. Nothing about the outputs is guessed silently: what does not fit is an error or a note that names the flag.

mod check;
mod error;
mod measures;
mod outputs;
mod ranking;
mod report;

pub use check::{CheckOptions, feeds, run_check};
pub use error::{CompareError, Side};
pub use measures::{Distance, NonFinite, is_probabilities, non_finite, softmax, within};
pub use outputs::{Chosen, Comparison, Judged, Opinion, Ranked};
pub use ranking::{kendall_tau, label, margin, overlap, top};
pub use report::{
    Accuracy, CheckReport, Compared, Distances, ImageFinding, ImagesSummary, LeftOut, Mismatches, NonFiniteFinding, Share, Summary,
};
