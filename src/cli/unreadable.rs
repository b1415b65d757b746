//! Images that cannot be read: named, and no success, in every command that looks at images.

use super::{DIFFERENT, FAILED, SAME};
use crate::compare::LeftOut;
use crate::model::harmless;
use clap::Args;
use std::process::ExitCode;

/// Images that are named in one place.
const NAMED: usize = 5;

/// What becomes of images that cannot be read.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Unreadable {
    /// Images that cannot be read are no failure: the others decide
    #[arg(long)]
    pub skip_unreadable: bool,
}

impl Unreadable {
    /// The exit code of a command that looked at `count` images: what differs weighs more; where nothing does, images of which nothing is
    /// known are a failure, which is said.
    pub(super) fn code(self, same: bool, left_out: usize, count: usize) -> ExitCode {
        if same && left_out > 0 && !self.skip_unreadable {
            eprintln!(
                "error: {left_out} of {count} images cannot be read: nothing is known of them; --skip-unreadable lets the others decide"
            );
            return ExitCode::from(FAILED);
        }
        ExitCode::from(if same { SAME } else { DIFFERENT })
    }
}

/// Images that cannot be read, a line each with the reason; beyond a few they are counted.
pub(super) fn lines(left_out: &[LeftOut], indent: &str) -> String {
    let mut out: String = left_out.iter().take(NAMED).map(|l| format!("{indent}left out: {}\n", harmless(&l.why))).collect();
    if left_out.len() > NAMED {
        out += &format!("{indent}left out: {} more\n", left_out.len() - NAMED);
    }
    out
}
