//! The engine: one thread that owns the session, workers for what takes long, a channel for commands and one for news.
//!
//! Every piece of news carries the number of the job it belongs to; news of a job that was cancelled or replaced is dropped.

use super::bench::{Bench, Compared, SourceSide};
use super::command::Command;
use super::detail::Detail;
use super::history::Turned;
use super::mending::{Decided, Mending};
use super::resume::Resumed;
use super::snapshot::{LogLine, Side, Snapshot, Tone};
use super::worker::{BEAT, Task};
use crate::dataset::{Case, ImageSet};
use crate::localize::{Findings, LocalizeOptions};
use crate::model::harmless;
use crate::repair::{Checkpoints, Evaluation, Evidence, Job, Proposal};
use crate::run::{Network, RunOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How the engine works.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Threads, memory, runtime.
    pub run: RunOptions,
    /// How faults are looked for.
    pub localize: LocalizeOptions,
    /// One image in so many only verifies and is never used to choose an edit; 0 for none. Counts from 50 images on.
    pub holdout: usize,
    /// Where the repaired model goes; beside the target when absent.
    pub output: Option<PathBuf>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { run: RunOptions::default(), localize: LocalizeOptions::default(), holdout: 5, output: None }
    }
}

/// The engine, as it is seen from outside.
#[derive(Debug)]
pub struct Engine {
    inbox: Sender<Message>,
    thread: JoinHandle<()>,
}

impl Engine {
    /// Starts the engine. `publish` is called on its thread with every snapshot worth showing.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(options: EngineOptions, publish: impl Fn(Arc<Snapshot>) + Send + 'static) -> std::io::Result<Self> {
        let (inbox, messages) = channel();
        let core = Core {
            options,
            outbox: inbox.clone(),
            publish: Box::new(publish),
            snap: Snapshot::default(),
            open: None,
            task: None,
            last_task: 0,
            inspecting: None,
            looks: Arc::default(),
            dirty: false,
            published: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || core.run(&messages))?;
        Ok(Self { inbox, thread })
    }

    /// Asks for something.
    pub fn send(&self, command: Command) {
        // An engine that ended after Quit takes nothing more.
        let _ = self.inbox.send(Message::Command(command));
    }

    /// Lets it do what was asked so far, ends it, and waits for that.
    pub fn finish(self) {
        self.send(Command::Quit);
        // A panic of its thread was shown already.
        let _ = self.thread.join();
    }
}

pub(super) enum Message {
    Command(Command),
    News(u64, News),
}

/// What workers tell.
pub(super) enum News {
    Case(Box<Case>),
    Model(Side, Result<Arc<Network>, String>),
    Images(Arc<ImageSet>),
    Progress(&'static str, usize, usize),
    SourceReady(Arc<SourceSide>),
    Ready(Arc<Bench>),
    Compared(usize, Box<Compared>),
    LeftOut(PathBuf, String),
    DoesNotRun(String),
    Evaluated(Evaluation, Evaluation, Option<Arc<Checkpoints>>),
    Found(Box<Findings>, Vec<Proposal>),
    Tried(usize, Result<Evidence, String>),
    TriedAll,
    Decided(Box<Decided>),
    Turned(Box<Turned>),
    OverImages(Box<Detail>),
    Reported(PathBuf),
    ReportFailed(String),
    /// A proposal does not fit the target any more.
    Outdated(String),
    Resumed(Box<Resumed>),
    Resumable(PathBuf, usize),
    Detail(Box<Detail>),
    Failed(String),
}

/// The case that is open.
pub(super) struct Open {
    pub number: u64,
    /// The case file, where there is one.
    pub file: Option<PathBuf>,
    pub case: Option<Arc<Case>>,
    pub source: Option<Arc<Network>>,
    pub target: Option<Arc<Network>>,
    pub images: Option<Arc<ImageSet>>,
    pub job: Option<Box<Job>>,
    pub source_side: Option<Arc<SourceSide>>,
    pub bench: Option<Arc<Bench>>,
    /// Whether labels differ, by image: at the start, and now.
    pub differs: [Vec<bool>; 2],
    /// Whether all images were run with the target as it is.
    pub compared: bool,
    /// Whether faults are to be looked for once they were.
    pub then_look: bool,
    pub mending: Mending,
}

pub(super) struct Core {
    pub options: EngineOptions,
    pub outbox: Sender<Message>,
    publish: Box<dyn Fn(Arc<Snapshot>) + Send>,
    pub snap: Snapshot,
    pub open: Option<Open>,
    pub task: Option<Task>,
    pub last_task: u64,
    /// The details that are being worked out, and those that are wanted next.
    pub inspecting: Option<Option<(usize, Option<usize>)>>,
    /// Counts what was looked into: who works on an older one stops.
    pub looks: Arc<AtomicU64>,
    pub dirty: bool,
    published: Instant,
}

impl Core {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let wait = if self.dirty { BEAT.saturating_sub(self.published.elapsed()) } else { Duration::from_secs(3600) };
            match messages.recv_timeout(wait) {
                Ok(Message::Command(end @ (Command::Quit | Command::Abandon))) => {
                    self.stop_task();
                    if end == Command::Quit || !self.snap.unsaved {
                        self.close();
                    }
                    return;
                }
                Ok(Message::Command(command)) => {
                    self.obey(command);
                    self.show();
                }
                Ok(Message::News(number, news)) => self.hear(number, news),
                Err(RecvTimeoutError::Timeout) => {
                    if self.dirty {
                        self.show();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Publishes the state.
    pub fn show(&mut self) {
        self.dirty = false;
        self.published = Instant::now();
        (self.publish)(Arc::new(self.snap.clone()));
    }

    pub fn log(&mut self, tone: Tone, text: impl Into<String>) {
        let at = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        let text = harmless(&text.into()).into_owned();
        Arc::make_mut(&mut self.snap.log).push(LogLine { at, text, tone });
    }

    /// Something went wrong; the session goes on.
    pub fn fail(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.snap.error = Some(harmless(&text).into_owned());
        self.log(Tone::Error, text);
    }

    fn obey(&mut self, command: Command) {
        self.snap.error = None;
        match command {
            Command::Open(path) => {
                let path = if path.is_dir() { path.join("case.toml") } else { path };
                let file = path.clone();
                self.open(Some(file), path.clone(), move || Case::open(&path).map_err(|e| e.to_string()));
            }
            Command::OpenCase(case) => self.open(None, case.target.clone(), move || Ok(*case)),
            Command::Inspect { row, image } => self.inspect(row, image),
            Command::Cancel => self.cancel(),
            Command::Localize => self.look(),
            Command::Accept(id) => self.decide(id, crate::repair::Decision::Accept, String::new()),
            Command::Reject(id, note) => self.decide(id, crate::repair::Decision::Reject, note),
            Command::Skip(id) => self.decide(id, crate::repair::Decision::Skip, String::new()),
            Command::Undo(id) => self.undo(id),
            Command::Redo => self.redo(),
            Command::TryAll(id) => self.try_on_all(id),
            Command::Change(id, text) => self.change(id, &text),
            Command::Write { row, text } => self.write(row, Some(&text)),
            Command::Take(row) => self.write(row, None),
            Command::Forbid(row) => self.pair_up(row, row, false),
            Command::Pin { source, target } => self.pair_up(source, target, true),
            Command::Unpair(row) => self.unpair(row),
            Command::Resume(path) => self.resume(&path),
            Command::Save(path) => self.save(path),
            Command::Report => self.report(),
            Command::Quit | Command::Abandon => {}
        }
    }

    /// Takes in what a worker tells, unless its work is no longer wanted.
    fn hear(&mut self, number: u64, news: News) {
        let of_case = self.open.as_ref().is_some_and(|o| o.number == number);
        let of_task = self.task.as_ref().is_some_and(|t| t.number == number);
        if !of_case && !of_task {
            return;
        }
        match news {
            News::Progress(name, done, of) => return self.progress(name, done, of),
            News::Compared(image, compared) => return self.compared(image, *compared),
            News::Case(case) => self.case(*case),
            News::Model(side, loaded) => self.model(side, loaded),
            News::Images(images) => self.images(images),
            News::SourceReady(side) => {
                if let Some(open) = &mut self.open {
                    open.source_side = Some(side);
                }
            }
            News::Ready(bench) => self.ready(bench),
            News::LeftOut(path, why) => {
                self.log(Tone::Warning, format!("left out: {why}"));
                Arc::make_mut(&mut self.snap.images.unreadable).push((path, why));
            }
            News::DoesNotRun(why) => {
                self.log(Tone::Error, format!("the target does not run: {why}"));
                self.snap.does_not_run = Some(harmless(&why).into_owned());
            }
            News::Evaluated(source, target, kept) => self.evaluated(source, target, kept),
            News::Found(findings, proposals) => self.found(*findings, proposals),
            News::Tried(id, evidence) => self.tried(id, evidence),
            News::TriedAll => drop(self.stop_task()),
            News::Decided(decided) => self.decided(*decided),
            News::Turned(turned) => self.turned(*turned),
            News::Outdated(why) => self.outdated(&why),
            News::Resumed(resumed) => self.resumed(*resumed),
            News::Resumable(path, edits) => self.snap.resumable = Some((path, edits)),
            News::Detail(detail) => {
                self.snap.detail = Some(Arc::new(*detail));
                if let Some(Some((row, image))) = self.inspecting.take() {
                    self.inspect(row, image);
                }
            }
            News::Reported(page) => {
                self.log(Tone::Good, format!("report: {} (and the same as Markdown)", page.display()));
                self.snap.reported = Some(page);
            }
            News::ReportFailed(why) => self.fail(format!("no report: {why}")),
            News::OverImages(detail) => {
                if self.snap.detail.as_ref().is_some_and(|d| d.row == detail.row && d.image == detail.image) {
                    self.snap.detail = Some(Arc::new(*detail));
                    self.dirty = true;
                }
                return;
            }
            News::Failed(why) => {
                if of_task {
                    self.stop_task();
                } else {
                    self.inspecting = None;
                    self.loading_failed();
                }
                self.fail(why);
            }
        }
        self.show();
    }
}
