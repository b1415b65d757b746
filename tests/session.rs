//! The engine without a screen: from opening a case to the repaired model and its log.

mod samples;

use fixcon::audit::replay;
use fixcon::session::{Command, Engine, EngineOptions, Load, Sign, Snapshot, Standing, attributes, check_attribute};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A copy of a case in a folder of its own; models and images are linked.
fn copy(name: &str) -> (tempfile::TempDir, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
    let folder = tempfile::tempdir().expect("a folder");
    let case = folder.path().join("cases").join(name);
    let mut all = std::fs::read_dir(root.join("cases")).expect("cases").filter_map(Result::ok).map(|e| e.path());
    let from = all.find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name))).expect("such a case");
    samples::copy_case(&from, &case);
    let text = std::fs::read_to_string(case.join("case.toml")).expect("a case");
    let text = text.replace("[images]\n", "[images]\ntruth = \"../../images/truth.json\"\n");
    std::fs::write(case.join("case.toml"), text).expect("it can be written");
    for shared in ["models", "images", "labels.txt"] {
        std::os::unix::fs::symlink(root.join(shared), folder.path().join(shared)).expect("a link");
    }
    (folder, case.join("case.toml"))
}

struct Session {
    engine: Engine,
    inbox: Receiver<Arc<Snapshot>>,
    last: Arc<Snapshot>,
}

impl Session {
    fn open(case: &Path) -> Self {
        let (outbox, inbox) = channel();
        let engine = Engine::start(EngineOptions::default(), move |s| drop(outbox.send(s))).expect("an engine");
        engine.send(Command::Open(case.to_path_buf()));
        Self { engine, inbox, last: Arc::default() }
    }

    /// Waits until a snapshot is as wanted.
    fn until(&mut self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let end = Instant::now() + Duration::from_secs(300);
        // It may be so already, and nothing more be said.
        if holds(&self.last) {
            return self.last.clone();
        }
        loop {
            match self.inbox.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(snapshot) => {
                    self.last = snapshot;
                    if holds(&self.last) {
                        return self.last.clone();
                    }
                }
                Err(_) => {
                    let log: Vec<String> = self.last.log.iter().map(|l| l.text.clone()).collect();
                    panic!("never so: {what}; error {:?}, work {:?}\n{}", self.last.error, self.last.work, log.join("\n"));
                }
            }
        }
    }

    /// Waits until faults were looked for and every proposal was tried.
    fn settled(&mut self) -> Arc<Snapshot> {
        self.until("settled", |s| s.is_settled() && s.findings.is_some())
    }
}

/// Accepts what is proposed first until no label differs.
fn repair(session: &mut Session) -> Arc<Snapshot> {
    let mut snap = session.settled();
    for _ in 0..6 {
        let Some(open) = snap.proposals.iter().find(|p| p.standing == Standing::Open) else { break };
        let id = open.id;
        session.engine.send(Command::Accept(id));
        session.until("accepted", |s| s.decided.iter().any(|d| d.proposal.id == id && d.proposal.standing == Standing::Accepted));
        snap = session.settled();
        if snap.images.flipped == 0 {
            break;
        }
    }
    snap
}

#[test]
fn a_case_is_opened_compared_and_its_fault_found() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = session.until("both models", |s| matches!((&s.source, &s.target), (Load::Ready { .. }, Load::Ready { .. })));
    assert!(snap.sheet.as_ref().is_some_and(|s| !s.aligned && s.rows.len() > 20));
    let snap = session.settled();
    assert_eq!(snap.images.done, 100);
    assert!(snap.images.flipped > 0);
    assert_eq!(snap.images.flips.len(), snap.images.flipped);
    let flip = &snap.images.flips[0];
    assert_ne!(flip.source.top[0].label, flip.target.top[0].label);
    assert_eq!(flip.source.top.len(), 5);
    assert!(flip.truth.is_some());
    let sheet = snap.sheet.as_ref().expect("a sheet");
    assert!(sheet.aligned && sheet.rows.iter().any(|r| r.sign == Sign::Faulty));
    let first = snap.proposals.first().expect("a proposal");
    assert!(first.flips.is_some() && !first.diff.is_empty(), "{first:?}");
}

#[test]
fn a_repair_is_accepted_saved_and_replayed_to_the_same_digest() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = repair(&mut session);
    assert_eq!(snap.images.flipped, 0, "{:?}", snap.log);
    assert!(snap.unsaved && snap.can_undo);
    let sheet = snap.sheet.as_ref().expect("a sheet");
    assert!(sheet.rows.iter().all(|r| r.sign != Sign::Clean || r.isolated.is_some()));
    session.engine.send(Command::Save(None));
    let snap = session.until("saved", |s| s.saved.is_some());
    assert!(!snap.unsaved);
    let log = snap.audit_log.clone().expect("a log");
    let model = snap.saved.clone().expect("a model");
    session.engine.finish();
    assert!(model.exists());
    let replayed = replay(&log, None).expect("it replays");
    assert!(!replayed.checks.is_empty() && replayed.checks.iter().all(|c| c.same), "{:?}", replayed.checks);
}

#[test]
fn a_rejection_with_a_note_and_an_undo_are_in_the_log() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let id = snap.proposals[0].id;
    let start = snap.images.flipped;
    session.engine.send(Command::Reject(id, "not yet".into()));
    session.until("rejected", |s| s.proposals[0].standing == Standing::Rejected("not yet".into()));
    session.engine.send(Command::Accept(id));
    session.until("accepted", |s| s.proposals[0].standing == Standing::Accepted);
    let snap = session.settled();
    assert!(snap.images.flipped < start);
    session.engine.send(Command::Undo(Some(id)));
    session.until("taken back", |s| s.decided.is_empty());
    let snap = session.settled();
    assert_eq!(snap.images.flipped, start);
    assert!(snap.can_redo);
    session.engine.send(Command::Redo);
    session.until("accepted again", |s| s.decided.len() == 1);
    let snap = session.settled();
    assert!(snap.images.flipped < start);
    let log = snap.audit_log.clone().expect("a log");
    session.engine.finish();
    let text = std::fs::read_to_string(log).expect("a log");
    let kinds: Vec<String> =
        text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()?["kind"].as_str().map(String::from)).collect();
    for kind in ["opened", "evaluated", "suspect", "proposed", "decided", "applied", "undone", "closed"] {
        assert!(kinds.iter().any(|k| k == kind), "{kind} in {kinds:?}");
    }
    assert!(text.contains("not yet"));
}

#[test]
fn a_rejection_stands_when_faults_are_looked_for_again() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let id = snap.proposals[0].id;
    session.engine.send(Command::Reject(id, "not yet".into()));
    session.until("rejected", |s| s.proposals[0].standing == Standing::Rejected("not yet".into()));
    session.engine.send(Command::Localize);
    session.until("looking", |s| s.work.is_some());
    let snap = session.settled();
    let again = snap.proposals.iter().find(|p| p.id == id).expect("it is proposed again");
    assert_eq!(again.standing, Standing::Rejected("not yet".into()));
    assert!(snap.proposals.iter().all(|p| p.id == id || p.title != again.title), "it is there twice: {:?}", snap.proposals);
}

#[test]
fn an_attribute_that_the_operator_does_not_have_is_refused() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let sheet = snap.sheet.clone().expect("a sheet");
    let row = sheet.rows.iter().position(|r| r.target.as_ref().is_some_and(|c| c.ops.len() == 1)).expect("a row of one node");
    session.engine.send(Command::Write { row, text: "foo = 1".into() });
    let snap = session.until("refused", |s| s.error.is_some());
    assert!(snap.error.as_ref().is_some_and(|e| e.contains("no attribute 'foo'")), "{:?}", snap.error);
}

#[test]
fn a_rejection_that_is_taken_back_is_no_skip_in_the_log() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let id = session.settled().proposals[0].id;
    session.engine.send(Command::Reject(id, "not yet".into()));
    session.until("rejected", |s| s.proposals[0].standing == Standing::Rejected("not yet".into()));
    session.engine.send(Command::Undo(None));
    let snap = session.until("taken back", |s| s.proposals[0].standing == Standing::Open && s.decided.is_empty());
    let log = snap.audit_log.clone().expect("a log");
    let (records, state) = fixcon::audit::Chain::read(&log).expect("a log").trusted().expect("a whole one");
    assert!(state.proposals.values().all(|(_, decided)| decided.is_none()), "{:?}", state.proposals);
    assert!(records.iter().any(|r| r.event.to_string().starts_with("took back 1 by ")));
    // Accepted after all, it is the only change that the images saw.
    session.engine.send(Command::Accept(id));
    session.until("accepted", |s| !s.decided.is_empty());
    session.settled();
    session.engine.finish();
    let report = fixcon::report::Report::read(&log).expect("a report");
    let what: Vec<&str> = report.edits[0].decisions.iter().map(|d| d.what).collect();
    assert_eq!((report.edits[0].together, &what[..]), (0, &["rejected", "taken back", "accepted"][..]));
}

#[test]
fn what_was_said_of_a_pair_is_shown_in_its_row_and_can_be_taken_back() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let clean = |s: &Snapshot| {
        let rows = &s.sheet.as_ref().expect("a sheet").rows;
        rows.iter()
            .position(|r| r.sign == Sign::Clean && [&r.source, &r.target].iter().all(|c| c.as_ref().is_some_and(|c| !c.makes.is_empty())))
    };
    let first = clean(&snap).expect("a clean pair");
    let marked = |s: &Snapshot| s.sheet.as_ref().and_then(|s| s.rows.iter().position(|r| !r.said.is_empty()));
    let fault = snap.sheet.as_ref().and_then(|s| s.rows.iter().position(|r| r.sign == Sign::Faulty)).expect("a fault");
    for (row, pair) in [(fault, false), (first, false), (first, true)] {
        session.engine.send(if pair { Command::Pin { source: row, target: row } } else { Command::Forbid(row) });
        session.until("said", |s| s.said.len() == 1 && s.said[0].pair == pair);
        let snap = session.settled();
        let at = marked(&snap).expect("a mark");
        let sheet = snap.sheet.as_ref().expect("a sheet");
        let name = |n: &Option<Arc<fixcon::run::Network>>, v| n.as_ref().map(|n| n.model().index().name(v).to_string());
        let said = (Some(snap.said[0].source.clone()), Some(snap.said[0].target.clone()));
        let pairs = &snap.findings.as_ref().expect("findings").pairs;
        assert_eq!(pairs.iter().any(|p| (name(&sheet.source, p.source), name(&sheet.target, p.target)) == said), pair);
        session.engine.send(Command::Unpair(at));
        session.until("taken back", |s| s.said.is_empty());
        let snap = session.settled();
        assert_eq!((marked(&snap), clean(&snap)), (None, Some(first)));
    }
}

#[test]
fn a_model_goes_where_it_was_asked_for_again_and_again() {
    let (folder, case) = copy("4-");
    let output = folder.path().join("mended.onnx");
    let (outbox, inbox) = channel();
    let options = EngineOptions { output: Some(output.clone()), ..EngineOptions::default() };
    let engine = Engine::start(options, move |s| drop(outbox.send(s))).expect("an engine");
    engine.send(Command::Open(case.clone()));
    let mut session = Session { engine, inbox, last: Arc::default() };
    let snap = repair(&mut session);
    assert!(snap.other_recipe && snap.saved_recipe.is_none());
    session.engine.send(Command::Save(None));
    let snap = session.until("saved", |s| !s.unsaved && s.saved.is_some());
    assert_eq!((snap.saved.as_ref(), snap.saved_recipe.clone()), (Some(&output), Some(folder.path().join("mended.recipe.toml"))));
    session.engine.send(Command::Undo(None));
    session.until("taken back", |s| s.unsaved);
    session.settled();
    session.engine.send(Command::Save(None));
    let snap = session.until("saved again", |s| !s.unsaved);
    assert_eq!((snap.saved.as_ref(), &snap.error), (Some(&output), &None));
    // A path that is typed never replaces a file.
    session.engine.send(Command::Save(Some(output)));
    session.until("an error", |s| s.error.as_ref().is_some_and(|e| e.contains("exists")));
}

#[test]
fn a_recipe_that_is_there_already_stays_and_the_new_one_lies_beside_it() {
    let (folder, case) = copy("4-");
    let theirs = folder.path().join("mended.recipe.toml");
    std::fs::write(&theirs, "theirs").unwrap();
    let mut session = Session::open(&case);
    repair(&mut session);
    session.engine.send(Command::Save(Some(folder.path().join("mended.onnx"))));
    let snap = session.until("saved", |s| !s.unsaved && s.saved.is_some());
    assert_eq!((snap.saved_recipe.clone(), &snap.error), (Some(folder.path().join("mended.2.recipe.toml")), &None));
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "theirs");
}

#[test]
fn what_two_nodes_have_wrong_by_the_same_rule_is_one_proposal() {
    let (_folder, case) = copy("16-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    assert!(snap.findings.as_ref().is_some_and(|f| f.suspects.len() == 2));
    let both = snap.proposals.iter().find(|p| p.words.ends_with("so in 2 nodes")).expect("one for two nodes");
    assert_eq!(both.places.len(), 2, "{both:?}");
    let first = |suspect: usize| snap.proposals.iter().find(|p| p.suspect == suspect).map(|p| p.id).expect("a proposal");
    for id in [first(0), first(1)] {
        session.engine.send(Command::Accept(id));
        session.until("accepted", |s| s.decided.iter().any(|d| d.proposal.id == id && d.proposal.standing == Standing::Accepted));
        assert_eq!(session.settled().error, None);
    }
    let snap = session.settled();
    assert_eq!(snap.images.flipped, 0, "{:?}", snap.log);
    session.engine.send(Command::Save(None));
    let log = session.until("saved", |s| s.saved.is_some()).audit_log.clone().expect("a log");
    session.engine.finish();
    assert!(replay(&log, None).expect("it replays").is_same());
}

#[test]
fn after_an_edit_far_down_only_what_lies_below_runs_and_the_counts_are_the_same() {
    let (_folder, case) = copy("3-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let deep = snap.proposals.iter().find(|p| p.kind.is_some_and(|k| k.id() == "CG-REWIRED")).expect("the deeper fault").clone();
    let start = snap.images.flipped;
    session.engine.send(Command::Accept(deep.id));
    session.until("accepted", |s| !s.decided.is_empty());
    let snap = session.settled();
    let log = |s: &Snapshot| s.log.iter().map(|l| l.text.clone()).collect::<Vec<_>>();
    assert!(log(&snap).iter().any(|l| l.contains("what lies below the edit ran")), "{:?}", log(&snap));
    let below = snap.images.flipped;
    assert!(below < start);
    // What the whole target gives, in a process of its own.
    session.engine.send(Command::Save(None));
    let saved = session.until("saved", |s| s.saved.is_some()).saved.clone().expect("a model");
    session.engine.finish();
    let text = std::fs::read_to_string(&case).expect("a case");
    let name = saved.file_name().expect("a name").to_string_lossy().into_owned();
    let again = case.with_file_name("again.toml");
    std::fs::write(&again, text.replace("target.onnx", &name)).expect("it can be written");
    let mut whole = Session::open(&again);
    assert_eq!(whole.settled().images.flipped, below);
}

#[test]
fn a_row_at_fault_is_shown_with_its_weights_and_its_error_over_images() {
    let (_folder, case) = copy("3-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let bias = snap.findings.as_ref().and_then(|f| f.suspects.iter().find(|s| s.kind.is_some_and(|k| k.id() == "WB-BIAS")).cloned());
    let row = snap.sheet.as_ref().and_then(|s| s.row_of_region(bias?.region?)).expect("its row");
    session.engine.send(Command::Inspect { row, image: Some(0) });
    let snap = session.until("errors", |s| s.detail.as_ref().is_some_and(|d| d.row == row && d.images.len() == 16));
    let detail = snap.detail.as_ref().expect("the row");
    assert!(detail.images.iter().all(|(_, e)| *e > 0.1), "{:?}", detail.images);
    let (differs, same) = (&detail.weights[0], &detail.weights[1]);
    assert!(same.equal.is_some_and(|(same, of)| same == of), "{same:?}");
    assert!(differs.equal.is_none_or(|(same, of)| same < of), "{differs:?}");
    let start = snap
        .proposals
        .iter()
        .find(|p| {
            Some(p.suspect)
                == snap
                    .findings
                    .as_ref()
                    .and_then(|f| f.suspects.iter().position(|s| s.region == snap.sheet.as_ref().and_then(|t| t.rows[row].region)))
        })
        .expect("its proposal")
        .id;
    session.engine.send(Command::Accept(start));
    session.until("accepted", |s| !s.decided.is_empty());
    session.settled();
    // As it is now, not as it was.
    session.engine.send(Command::Inspect { row, image: Some(0) });
    let differs =
        |s: &Snapshot| s.detail.as_ref().filter(|d| d.row == row).and_then(|d| d.activations.as_ref().map(|a| a.source != a.target));
    session.until("mended", |s| s.detail.as_ref().is_some_and(|d| d.is_old) || differs(s) == Some(false));
}

#[test]
fn a_report_is_written_beside_the_log_before_anything_is_decided() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let proposal = snap.proposals.first().expect("a proposal");
    assert!(proposal.known.iter().any(|k| k.starts_with("microsoft/MMdnn#660: ")), "{:?}", proposal.known);
    assert!(!proposal.places.is_empty());
    assert_eq!(snap.images.held.map(|h| h.2), Some(20));
    session.engine.send(Command::Report);
    let page = session.until("a report", |s| s.reported.is_some()).reported.clone().expect("a path");
    assert!(page.ends_with("target.fixcon.html"), "{}", page.display());
    let text = std::fs::read_to_string(&page).expect("a page");
    assert!(text.contains("LH-PADS") && page.with_extension("md").exists());
    // Another one never takes its place.
    session.engine.send(Command::Report);
    session.until("another", |s| s.reported.as_ref().is_some_and(|p| *p != page));
}

#[test]
fn a_target_that_does_not_run_is_named_and_mended() {
    let (_folder, case) = copy("5-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    assert!(snap.does_not_run.is_some(), "{:?}", snap.log);
    assert_eq!(snap.images.flipped, 100);
    let snap = repair(&mut session);
    assert!(snap.does_not_run.is_none(), "{:?}", snap.log);
    assert_eq!(snap.images.flipped, 0);
    // The row is still told from those that were never wrong.
    let sheet = snap.sheet.as_ref().expect("a sheet");
    let mended: Vec<_> = sheet.rows.iter().filter(|r| r.sign == Sign::Repaired).collect();
    assert_eq!(mended.len(), 1);
    assert_eq!(mended[0].target.as_ref().map(|c| c.text.as_str()), Some("Relu"));
}

#[test]
fn what_cannot_be_written_is_an_error_and_nothing_is_done() {
    let (folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    // The folder goes away under the log.
    std::fs::rename(folder.path().join("cases"), folder.path().join("elsewhere")).expect("it can be moved");
    session.engine.send(Command::Accept(snap.proposals[0].id));
    let snap = session.until("an error", |s| s.error.is_some());
    assert!(snap.error.as_ref().is_some_and(|e| e.contains("audit log")), "{:?}", snap.error);
    assert!(snap.decided.is_empty() && !snap.unsaved);
}

#[test]
fn a_rejection_stands_when_the_log_cannot_say_that_it_was_taken_back() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let id = session.settled().proposals[0].id;
    session.engine.send(Command::Reject(id, "no".into()));
    let rejected = |s: &Snapshot| s.proposals.iter().any(|p| p.id == id && p.standing == Standing::Rejected("no".into()));
    let snap = session.until("rejected", rejected);
    std::fs::remove_file(snap.audit_log.as_ref().expect("a log")).expect("it can be removed");
    session.engine.send(Command::Undo(Some(id)));
    let snap = session.until("an error", |s| s.error.is_some());
    // Also when the proposals are shown anew.
    let rows = &snap.sheet.as_ref().expect("a sheet").rows;
    let row = rows.iter().position(|r| r.target.as_ref().is_some_and(|c| c.text == "Clip 0..6")).expect("a Clip");
    session.engine.send(Command::Write { row, text: "max = 0.5".into() });
    let snap = session.until("a proposal by hand", |s| s.proposals.iter().any(|p| p.by_hand));
    assert!(rejected(&snap), "{:?}", snap.proposals.iter().map(|p| &p.standing).collect::<Vec<_>>());
}

#[test]
fn work_can_be_cancelled_and_another_case_opened_meanwhile() {
    let (_a, first) = copy("2-");
    let (_b, second) = copy("7-");
    let mut session = Session::open(&first);
    session.until("comparing", |s| s.images.done > 0);
    session.engine.send(Command::Cancel);
    let snap = session.until("cancelled", |s| s.work.is_none());
    let last = snap.log.last().map(|l| l.text.clone()).unwrap_or_default();
    assert!(last.starts_with("cancelled: comparing images; ") && last.contains("of 100 images were compared"), "{last}");
    // What was cut short is made up for before faults are looked for.
    session.engine.send(Command::Localize);
    let snap = session.settled();
    assert_eq!((snap.images.done, snap.images.flips.len()), (100, snap.images.flipped));
    assert!(snap.findings.as_ref().is_some_and(|f| !f.suspects.is_empty()));
    session.engine.send(Command::Open(second));
    let snap = session.until("the second", |s| s.generation == 2 && s.is_settled() && s.findings.is_some());
    assert_eq!(snap.images.flipped, 0);
    assert!(snap.proposals.is_empty(), "{:?}", snap.proposals);
}

#[test]
fn a_case_that_cannot_be_read_is_an_error_in_words() {
    let mut session = Session::open(Path::new("no/such/case.toml"));
    let snap = session.until("an error", |s| s.error.is_some());
    assert!(snap.error.as_ref().is_some_and(|e| e.contains("no/such/case.toml")));
    assert!(snap.is_settled());
}

#[test]
fn a_constant_input_is_written_like_an_attribute() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let sheet = snap.sheet.as_ref().expect("a sheet");
    let row = sheet.rows.iter().position(|r| r.target.as_ref().is_some_and(|c| c.text == "Clip 0..6")).expect("a Clip");
    let has = attributes(sheet, row).expect("one node");
    assert!(has.contains(&"min = 0.0".to_string()) && has.contains(&"max = 6.0".to_string()), "{has:?}");
    assert!(check_attribute("max = wide", &has).is_err() && check_attribute("widest = 6", &has).is_err());
    let before = snap.images.flipped;
    session.engine.send(Command::Write { row, text: "max = 0.5".into() });
    let snap = session.until("a proposal by hand", |s| s.proposals.iter().any(|p| p.by_hand));
    let id = snap.proposals.iter().find(|p| p.by_hand).expect("it is there").id;
    session.engine.send(Command::Accept(id));
    let snap = session.until("more flips", |s| s.is_settled() && s.images.flipped > before);
    assert!(snap.decided.len() == 1, "{:?}", snap.decided);
    session.engine.send(Command::Undo(None));
    session.until("as before", |s| s.is_settled() && s.images.flipped == before);
}

#[test]
fn a_proposal_of_one_constant_can_be_given_another_value() {
    let (_folder, case) = copy("17-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let proposal = snap.proposals.first().expect("a proposal");
    assert_eq!(proposal.editable.as_deref(), Some("6.0"), "{proposal:?}");
    session.engine.send(Command::Change(proposal.id, "5".into()));
    let snap = session.until("a proposal by hand", |s| s.proposals.iter().any(|p| p.by_hand));
    let own = snap.proposals.iter().find(|p| p.by_hand).expect("it is there");
    assert!(own.title.contains("set to 5.0 by hand"), "{}", own.title);
}

#[test]
fn an_edit_with_which_nothing_would_load_the_target_is_refused_with_the_reason() {
    let (_folder, case) = copy("1-");
    let mut session = Session::open(&case);
    let snap = session.settled();
    let sheet = snap.sheet.as_ref().expect("a sheet");
    let row = sheet.rows.iter().position(|r| r.target.as_ref().is_some_and(|c| c.text.starts_with("Conv"))).expect("a Conv");
    session.engine.send(Command::Write { row, text: "pads = [0, 0, 1]".into() });
    let snap = session.until("an error", |s| s.error.is_some());
    assert!(snap.error.as_ref().is_some_and(|e| e.contains("would load the target with it") && e.contains("pads")), "{:?}", snap.error);
    assert!(!snap.proposals.iter().any(|p| p.by_hand));
}
