//! The engine: one thread that owns the session, workers for what takes long, a channel for commands and one for news.
//!
//! Every piece of news carries the number of the job it belongs to; news of a job that was cancelled or replaced is dropped.

use super::bench::{self, Bench, Compared};
use super::command::Command;
use super::detail::{self, Detail};
use super::sheet::Sheet;
use super::snapshot::{CaseInfo, Flip, Images, Load, LogLine, Side, Snapshot, Tone, Work};
use crate::dataset::{Case, ImageSet};
use crate::run::{Network, RunOptions, Watch};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Shortest time between two snapshots that differ in progress only.
const BEAT: Duration = Duration::from_millis(60);

/// How the engine works.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Threads, memory, runtime.
    pub run: RunOptions,
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
            job: None,
            last_job: 0,
            inspecting: None,
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

enum Message {
    Command(Command),
    News(u64, News),
}

/// What workers tell.
enum News {
    Case(Box<Case>),
    Model(Side, Result<Arc<Network>, String>),
    Images(Arc<ImageSet>),
    Progress(&'static str, usize, usize),
    Ready(Arc<Bench>),
    Compared(usize, Box<Compared>),
    LeftOut(PathBuf, String),
    DoesNotRun(String),
    Evaluated,
    Detail(Box<Detail>),
    Failed(String),
}

/// The case that is open.
struct Open {
    number: u64,
    case: Option<Arc<Case>>,
    source: Option<Arc<Network>>,
    target: Option<Arc<Network>>,
    images: Option<Arc<ImageSet>>,
    bench: Option<Arc<Bench>>,
}

/// Long work under way.
struct Job {
    number: u64,
    cancel: Arc<AtomicBool>,
    began: Instant,
    work: &'static str,
}

struct Core {
    options: EngineOptions,
    outbox: Sender<Message>,
    publish: Box<dyn Fn(Arc<Snapshot>) + Send>,
    snap: Snapshot,
    open: Option<Open>,
    job: Option<Job>,
    last_job: u64,
    /// The details that are being worked out, and those that are wanted next.
    inspecting: Option<Option<(usize, Option<usize>)>>,
    dirty: bool,
    published: Instant,
}

/// A worker's line to the engine: progress goes out, the wish to stop comes in.
struct Reporter {
    number: u64,
    outbox: Sender<Message>,
    cancel: Arc<AtomicBool>,
    last: Mutex<Instant>,
}

impl Reporter {
    fn tell(&self, news: News) {
        // The engine ended: nobody wants to know.
        let _ = self.outbox.send(Message::News(self.number, news));
    }
}

impl Watch for Reporter {
    fn progress(&self, work: &'static str, done: usize, of: usize) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= BEAT || done == of {
            *last = Instant::now();
            self.tell(News::Progress(work, done, of));
        }
    }
    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

impl Core {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let wait = if self.dirty { BEAT.saturating_sub(self.published.elapsed()) } else { Duration::from_secs(3600) };
            match messages.recv_timeout(wait) {
                Ok(Message::Command(Command::Quit)) => {
                    self.stop_job();
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
    fn show(&mut self) {
        self.dirty = false;
        self.published = Instant::now();
        (self.publish)(Arc::new(self.snap.clone()));
    }

    fn log(&mut self, tone: Tone, text: impl Into<String>) {
        let at = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        let text = crate::model::harmless(&text.into()).into_owned();
        Arc::make_mut(&mut self.snap.log).push(LogLine { at, text, tone });
    }

    fn fail(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.log(Tone::Error, text.clone());
        self.snap.error = Some(crate::model::harmless(&text).into_owned());
    }

    fn obey(&mut self, command: Command) {
        self.snap.error = None;
        match command {
            Command::Open(path) => {
                let path = if path.is_dir() { path.join("case.toml") } else { path };
                self.open(path.clone(), move || Case::open(&path).map_err(|e| e.to_string()));
            }
            Command::OpenCase(case) => self.open(case.target.clone(), move || Ok(*case)),
            Command::Inspect { row, image } => self.inspect(row, image),
            Command::Cancel => {
                if self.stop_job() {
                    self.log(Tone::Warning, "cancelled");
                }
            }
            Command::Quit => {}
            _ => self.fail("faults cannot be looked for yet"),
        }
    }

    /// Starts work on a thread of its own. It replaces what was under way.
    fn start(&mut self, work: &'static str, body: impl FnOnce(&Reporter) + Send + 'static) {
        self.stop_job();
        self.last_job += 1;
        let cancel = Arc::new(AtomicBool::new(false));
        self.job = Some(Job { number: self.last_job, cancel: cancel.clone(), began: Instant::now(), work });
        self.snap.work = Some(Work { name: work, done: 0, of: 0, left: None });
        self.spawn(self.last_job, cancel, body);
    }

    /// Runs something on a thread of its own; a panic there becomes an error here.
    fn spawn(&mut self, number: u64, cancel: Arc<AtomicBool>, body: impl FnOnce(&Reporter) + Send + 'static) {
        let reporter = Reporter { number, outbox: self.outbox.clone(), cancel, last: Mutex::new(Instant::now()) };
        let spawned = std::thread::Builder::new().name("worker".into()).spawn(move || {
            let guarded = std::panic::AssertUnwindSafe(|| body(&reporter));
            if let Err(panic) = std::panic::catch_unwind(guarded) {
                let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
                reporter.tell(News::Failed(format!("the engine gave up: {}", text.unwrap_or("no reason given"))));
            }
        });
        if let Err(why) = spawned {
            self.job = None;
            self.snap.work = None;
            self.fail(format!("no thread for it: {why}"));
        }
    }

    /// Stops the work under way; whether there was any.
    fn stop_job(&mut self) -> bool {
        self.snap.work = None;
        match self.job.take() {
            Some(job) => {
                job.cancel.store(true, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }

    /// Opens a case, named after this file until its title is known.
    fn open(&mut self, path: PathBuf, read: impl FnOnce() -> Result<Case, String> + Send + 'static) {
        self.stop_job();
        self.last_job += 1;
        let number = self.last_job;
        self.open = Some(Open { number, case: None, source: None, target: None, images: None, bench: None });
        self.inspecting = None;
        let name = path.parent().and_then(Path::file_name).unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let info = CaseInfo { title: crate::model::harmless(&name).into_owned(), path: path.clone(), ..CaseInfo::default() };
        self.snap = Snapshot {
            generation: self.snap.generation + 1,
            case: Some(Arc::new(info)),
            source: Load::Loading,
            target: Load::Loading,
            ..Snapshot::default()
        };
        self.log(Tone::Plain, format!("opening {}", path.display()));
        let max_mem = self.options.run.max_mem;
        self.spawn(number, Arc::default(), move |to| match read() {
            Err(why) => to.tell(News::Failed(why)),
            Ok(case) => {
                to.tell(News::Case(Box::new(case.clone())));
                std::thread::scope(|scope| {
                    for (side, path) in [(Side::Source, &case.source), (Side::Target, &case.target)] {
                        scope.spawn(move || to.tell(News::Model(side, bench::load(path, max_mem))));
                    }
                    match ImageSet::open(&case.images, case.labels.as_deref(), case.truth.as_deref()) {
                        Ok(images) => to.tell(News::Images(Arc::new(images))),
                        Err(why) => to.tell(News::Failed(why.to_string())),
                    }
                });
            }
        });
    }

    /// Takes in what a worker tells, unless its job is no longer wanted.
    fn hear(&mut self, number: u64, news: News) {
        let of_case = self.open.as_ref().is_some_and(|o| o.number == number);
        let of_job = self.job.as_ref().is_some_and(|j| j.number == number);
        if !of_case && !of_job {
            return;
        }
        match news {
            News::Progress(name, done, of) => {
                self.progress(name, done, of);
                return;
            }
            News::Compared(image, compared) => {
                self.compared(image, *compared);
                return;
            }
            News::Case(case) => self.case(*case),
            News::Model(side, loaded) => self.model(side, loaded),
            News::Images(images) => {
                self.snap.images.of = images.len();
                if let Some(open) = &mut self.open {
                    open.images = Some(images);
                }
                self.evaluate();
            }
            News::Ready(bench) => {
                if let Some(open) = &mut self.open {
                    open.bench = Some(bench);
                }
                self.lay_out();
            }
            News::LeftOut(path, why) => {
                self.log(Tone::Warning, format!("left out: {why}"));
                Arc::make_mut(&mut self.snap.images.unreadable).push((path, why));
            }
            News::DoesNotRun(why) => {
                self.log(Tone::Error, why.clone());
                self.snap.does_not_run = Some(crate::model::harmless(&why).into_owned());
            }
            News::Evaluated => self.evaluated(),
            News::Detail(detail) => {
                self.snap.detail = Some(Arc::new(*detail));
                if let Some(Some((row, image))) = self.inspecting.take() {
                    self.inspect(row, image);
                }
            }
            News::Failed(why) => {
                if of_job {
                    self.stop_job();
                } else {
                    // What was not loaded by now will not be.
                    for load in [&mut self.snap.source, &mut self.snap.target] {
                        if *load == Load::Loading {
                            *load = Load::Waiting;
                        }
                    }
                }
                self.fail(why);
            }
        }
        self.show();
    }

    fn progress(&mut self, name: &'static str, done: usize, of: usize) {
        let Some(job) = &self.job else { return };
        let spent = job.began.elapsed();
        let left = (done > 0 && of > done && spent > Duration::from_millis(500)).then(|| spent.mul_f64((of - done) as f64 / done as f64));
        let name = if name.is_empty() { job.work } else { name };
        self.snap.work = Some(Work { name, done, of, left });
        self.dirty = true;
    }

    fn case(&mut self, case: Case) {
        let name = |p: &Path| crate::model::harmless(&p.file_name().unwrap_or(p.as_os_str()).to_string_lossy()).into_owned();
        if let Some(info) = &mut self.snap.case {
            let info = Arc::make_mut(info);
            if let Some(title) = &case.title {
                info.title = crate::model::harmless(title).into_owned();
            }
            info.about = crate::model::harmless(case.about.as_deref().unwrap_or_default()).into_owned();
            info.source = name(&case.source);
            info.target = name(&case.target);
        }
        if let Some(open) = &mut self.open {
            open.case = Some(Arc::new(case));
        }
    }

    fn model(&mut self, side: Side, loaded: Result<Arc<Network>, String>) {
        let load = match &loaded {
            Ok(network) => {
                let load = bench::describe(network);
                if let Load::Ready { nodes, parameters, producer } = &load {
                    self.log(Tone::Plain, format!("{} loaded: {nodes} nodes, {parameters} parameters, written by {producer}", side.name()));
                }
                load
            }
            Err(why) => {
                self.log(Tone::Error, format!("{}: {why}", side.name()));
                Load::Failed(crate::model::harmless(why).into_owned())
            }
        };
        let Some(open) = &mut self.open else { return };
        match side {
            Side::Source => (open.source, self.snap.source) = (loaded.ok(), load),
            Side::Target => (open.target, self.snap.target) = (loaded.ok(), load),
        }
        self.lay_out();
        self.evaluate();
    }

    /// Makes the sheet of what is known by now.
    fn lay_out(&mut self) {
        let Some(open) = &self.open else { return };
        let nothing = Default::default();
        let shapes = open.bench.as_ref().map_or([&nothing, &nothing], |b| [&b.shapes[0], &b.shapes[1]]);
        self.snap.sheet = Some(Arc::new(Sheet::unpaired(open.source.clone(), open.target.clone(), shapes)));
    }

    /// Compares both models on all images, as soon as all three are there.
    fn evaluate(&mut self) {
        let Some(open) = &self.open else { return };
        let (Some(case), Some(source), Some(target), Some(images)) = (&open.case, &open.source, &open.target, &open.images) else { return };
        let parts = bench::Parts { case: case.clone(), source: source.clone(), target: target.clone(), images: images.clone() };
        let run = self.options.run.clone();
        self.snap.images = Images { of: images.len(), ..Images::default() };
        self.start("comparing images", move |to| {
            let made = Bench::new(parts, &run, &mut |path, why| to.tell(News::LeftOut(path, why)));
            let bench = match made {
                Ok(bench) => Arc::new(bench),
                Err(why) => return to.tell(News::Failed(why)),
            };
            to.tell(News::Ready(bench.clone()));
            if let Some(why) = &bench.does_not_run {
                to.tell(News::DoesNotRun(why.clone()));
                return to.tell(News::Evaluated);
            }
            bench.compare_all(run.threads_for(bench.images.len()), to, &|image, result| match result {
                Ok(compared) => to.tell(News::Compared(image, Box::new(compared))),
                Err(why) => to.tell(News::LeftOut(bench.images.items()[image].path.clone(), why)),
            });
            if !to.cancelled() {
                to.tell(News::Evaluated);
            }
        });
    }

    fn compared(&mut self, image: usize, compared: Compared) {
        let images = &mut self.snap.images;
        images.done += 1;
        if compared.mismatch {
            images.flipped += 1;
            images.at_start = images.flipped;
            let flips = Arc::make_mut(&mut images.flips);
            let at = flips.partition_point(|f| f.image < image);
            flips.insert(
                at,
                Flip {
                    image,
                    path: compared.path,
                    truth: compared.truth,
                    source: compared.source,
                    target: compared.target,
                    mended: false,
                    broken: false,
                },
            );
        }
        self.dirty = true;
    }

    fn evaluated(&mut self) {
        self.stop_job();
        let images = &self.snap.images;
        if self.snap.does_not_run.is_none() {
            let tone = if images.flipped > 0 { Tone::Warning } else { Tone::Good };
            let text = format!("{} of {} images flipped", images.flipped, images.done);
            self.log(tone, text);
        }
    }

    /// Works out the details of a row, one row at a time; of several wishes the last one counts.
    fn inspect(&mut self, row: usize, image: Option<usize>) {
        if let Some(next) = &mut self.inspecting {
            *next = Some((row, image));
            return;
        }
        let (Some(open), Some(sheet)) = (&self.open, &self.snap.sheet) else { return };
        let (sheet, bench, number) = (sheet.clone(), open.bench.clone(), open.number);
        self.inspecting = Some(None);
        self.spawn(number, Arc::default(), move |to| {
            to.tell(News::Detail(Box::new(detail::work_out(&sheet, bench.as_deref(), row, image))));
        });
    }
}
