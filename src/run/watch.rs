//! Progress out of long work, and the wish to stop into it.

/// Who watches long work. All methods may be called from any thread.
pub trait Watch: Sync {
    /// `done` of `of` steps of this kind of work are done.
    fn progress(&self, work: &'static str, done: usize, of: usize) {
        let _ = (work, done, of);
    }
    /// Whether the work should stop soon; what was found so far is thrown away.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}
