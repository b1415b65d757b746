//! Work spread over threads. What comes out does not depend on how many there are.

use super::watch::Watch;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What `one` gives for each piece of work, in the order of the pieces; those that give nothing are left out. Once somebody asks to stop,
/// no further piece is begun.
pub fn spread<T: Send>(
    pieces: &[usize],
    threads: usize,
    work: &'static str,
    watch: &dyn Watch,
    one: impl Fn(usize) -> Option<T> + Sync,
) -> Vec<(usize, T)> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let found: Mutex<Vec<(usize, usize, T)>> = Mutex::new(Vec::with_capacity(pieces.len()));
    let step = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(at).filter(|_| !watch.cancelled()) else { return };
            if let Some(result) = one(*piece) {
                found.lock().unwrap_or_else(PoisonError::into_inner).push((at, *piece, result));
            }
            watch.progress(work, done.fetch_add(1, Ordering::Relaxed) + 1, pieces.len());
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(pieces.len()) {
            scope.spawn(step);
        }
        step();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(at, ..)| *at);
    found.into_iter().map(|(_, piece, result)| (piece, result)).collect()
}

/// Does two things, at the same time where there is more than one thread for them.
pub fn both<A: Send, B: Send>(threads: usize, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if threads > 1 { rayon::join(a, b) } else { (a(), b()) }
}
