//! Work on threads of its own: begun, told of, cancelled.

use super::bench::FLIPPED_AGAIN;
use super::engine::{Core, Message, News};
use super::snapshot::{self, Tone};
use crate::run::Watch;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two snapshots that differ in progress only.
pub(super) const BEAT: Duration = Duration::from_millis(60);

/// What takes long, and is done one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// All images, when a case is opened.
    Comparing,
    /// All images after an edit, those that flip first.
    RunningAgain,
    /// Finding faults.
    Looking,
    /// The figures of proposals.
    Trying,
    /// One proposal on all images.
    TryingOnAll,
    /// An accepted edit.
    Applying,
    /// An edit that was accepted before.
    TakingBack,
    /// A decision that changes no model.
    WritingLog,
    /// A session that is to go on.
    ReadingLog,
}

impl Work {
    /// In words, as long as it says nothing of its steps.
    fn name(self) -> &'static str {
        match self {
            Self::Comparing => "comparing images",
            Self::RunningAgain => FLIPPED_AGAIN,
            Self::Looking => "looking for faults",
            Self::Trying => "trying the repairs",
            Self::TryingOnAll => "trying the repair on all images",
            Self::Applying => "applying the repair",
            Self::TakingBack => "taking the repair back",
            Self::WritingLog => "writing the log",
            Self::ReadingLog => "reading the log",
        }
    }

    /// Whether labels stay as they are, whatever comes of it.
    fn keeps_labels(self) -> bool {
        matches!(self, Self::Looking | Self::Trying)
    }

    /// Whether it keeps a decision.
    fn is_deciding(self) -> bool {
        matches!(self, Self::Applying | Self::TakingBack | Self::WritingLog)
    }
}

/// Long work under way.
pub(super) struct Task {
    pub number: u64,
    cancel: Arc<AtomicBool>,
    /// When this part of it began.
    began: Instant,
    work: Work,
}

/// A worker's line to the engine: progress goes out, the wish to stop comes in.
pub(super) struct Reporter {
    number: u64,
    outbox: Sender<Message>,
    cancel: Arc<AtomicBool>,
    last: Mutex<(Instant, &'static str)>,
}

impl Reporter {
    pub fn tell(&self, news: News) {
        // The engine ended: nobody wants to know.
        let _ = self.outbox.send(Message::News(self.number, news));
    }
}

impl Watch for Reporter {
    fn progress(&self, work: &'static str, done: usize, of: usize) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.elapsed() >= BEAT || last.1 != work {
            *last = (Instant::now(), work);
            self.tell(News::Progress(work, done, of));
        }
    }
    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

impl Core {
    /// Starts work on a thread of its own. It replaces what was under way.
    pub fn start(&mut self, work: Work, body: impl FnOnce(&Reporter) + Send + 'static) {
        self.stop_task();
        self.last_task += 1;
        let cancel = Arc::new(AtomicBool::new(false));
        self.task = Some(Task { number: self.last_task, cancel: cancel.clone(), began: Instant::now(), work });
        self.snap.work = Some(snapshot::Work { name: work.name(), done: 0, of: 0, left: None, keeps_labels: work.keeps_labels() });
        self.spawn(self.last_task, cancel, body);
    }

    /// Whether a decision is being made: it is seen through before anything else is begun.
    pub fn is_deciding(&self) -> bool {
        self.task.as_ref().is_some_and(|t| t.work.is_deciding())
    }

    /// A number for work that no other work has.
    pub fn number(&mut self) -> u64 {
        self.last_task += 1;
        self.last_task
    }

    /// Runs something on a thread of its own; a panic there becomes an error here.
    pub fn spawn(&mut self, number: u64, cancel: Arc<AtomicBool>, body: impl FnOnce(&Reporter) + Send + 'static) {
        let reporter = Reporter { number, outbox: self.outbox.clone(), cancel, last: Mutex::new((Instant::now(), "")) };
        let spawned = std::thread::Builder::new().name("worker".into()).spawn(move || {
            let guarded = std::panic::AssertUnwindSafe(|| body(&reporter));
            if let Err(panic) = std::panic::catch_unwind(guarded) {
                let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
                reporter.tell(News::Failed(format!("the engine gave up: {}", text.unwrap_or("no reason given"))));
            }
        });
        if let Err(why) = spawned {
            self.task = None;
            self.snap.work = None;
            self.fail(format!("no thread for it: {why}"));
        }
    }

    /// Stops the work under way; whether there was any.
    pub fn stop_task(&mut self) -> bool {
        self.snap.work = None;
        match self.task.take() {
            Some(task) => {
                task.cancel.store(true, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }

    /// Stops the work under way at a person's wish, and says what stands.
    pub fn cancel(&mut self) {
        let Some(work) = self.task.as_ref().map(|t| t.work) else { return };
        let shown = self.snap.work.as_ref().map_or(work.name(), |w| w.name);
        self.stop_task();
        let images = &self.snap.images;
        let stands = match work {
            Work::Comparing => format!("{} of {} images were compared; find faults compares them all", images.done, images.of),
            Work::RunningAgain => "the decision stands; find faults runs all images first".into(),
            Work::Looking if self.snap.findings.is_some() => "what was found before stands".into(),
            Work::Looking => "no fault was found yet; the labels that differ stand".into(),
            Work::Trying => "the proposals stand, without the figures that are missing".into(),
            Work::TryingOnAll | Work::Applying | Work::TakingBack | Work::WritingLog | Work::ReadingLog => "nothing was changed".into(),
        };
        self.log(Tone::Warning, format!("cancelled: {shown}; {stands}"));
    }

    /// Work has come so far.
    pub fn progress(&mut self, name: &'static str, done: usize, of: usize) {
        let Some(task) = &mut self.task else { return };
        let name = if name.is_empty() { task.work.name() } else { name };
        if self.snap.work.as_ref().is_some_and(|w| w.name != name) {
            task.began = Instant::now();
        }
        let spent = task.began.elapsed();
        // The first steps tell little: plans are made, pages are read.
        let left = (done > 0 && of > done && spent > Duration::from_millis(500) && done * 20 >= of)
            .then(|| spent.mul_f64((of - done) as f64 / done as f64));
        self.snap.work = Some(snapshot::Work { name, done, of, left, keeps_labels: task.work.keeps_labels() });
        self.dirty = true;
    }
}
