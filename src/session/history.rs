//! Taking decisions back, and making them again.

use super::engine::{Core, News, Open};
use super::mending::{Changed, recipe_of};
use super::snapshot::{Standing, Tone};
use super::worker::Work;
use crate::repair::{Decision, Job, Journal};

/// An accepted edit that is ready to be taken back, or made again.
pub(super) struct Turned {
    id: usize,
    undone: bool,
    changed: Changed,
}

impl Core {
    /// Takes a decision back: the last one, or the one on this proposal.
    pub fn undo(&mut self, id: Option<usize>) {
        if self.is_deciding() {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let history = &mut open.mending.history;
        let at = match id {
            Some(id) => history.iter().rposition(|h| *h == id),
            None => history.len().checked_sub(1),
        };
        let Some(id) = at.map(|at| history[at]) else { return self.fail("nothing was decided on it") };
        let Some(offer) = open.offer(id) else { return };
        match (offer.standing.clone(), offer.accepted) {
            (Standing::Accepted, Some(index)) => self.turn(id, index, true),
            (standing, _) => {
                let (title, number) = (offer.shown.title.clone(), offer.number);
                if let (Some(number), Some(recorder)) = (number, &mut open.mending.recorder)
                    && let Err(why) = recorder.undone(number, "")
                {
                    return self.fail(why);
                }
                // Only now: what the log does not have did not happen.
                if let Some(offer) = open.offer(id) {
                    offer.standing = Standing::Open;
                }
                open.mending.history.retain(|h| *h != id);
                open.mending.future.push((id, standing));
                self.log(Tone::Plain, format!("taken back: {title}"));
                self.offer_all();
            }
        }
    }

    /// Does again what was taken back last.
    pub fn redo(&mut self) {
        if self.is_deciding() {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let Some((id, standing)) = open.mending.future.last().cloned() else { return self.fail("nothing was taken back") };
        let Some(offer) = open.offer(id) else { return };
        match (standing, offer.accepted) {
            (Standing::Accepted, Some(index)) => self.turn(id, index, false),
            (Standing::Rejected(note), _) => {
                open.mending.future.pop();
                self.decide(id, Decision::Reject, note);
            }
            (_, _) => {
                open.mending.future.pop();
                self.decide(id, Decision::Skip, String::new());
            }
        }
    }

    fn turn(&mut self, id: usize, index: usize, undone: bool) {
        let Some(job) = self.open.as_ref().and_then(|o| o.job.clone()) else { return };
        let work = if undone { Work::TakingBack } else { Work::Applying };
        self.start(work, move |to| match job.without(index, undone) {
            Ok(changed) => to.tell(News::Turned(Box::new(Turned { id, undone, changed }))),
            Err(why) => to.tell(News::Failed(format!("not possible: {why}"))),
        });
    }

    /// An accepted edit is taken back, or made again: first in the log, then in the model.
    pub fn turned(&mut self, turned: Turned) {
        self.stop_task();
        let Turned { id, undone, changed } = turned;
        let Some(open) = &mut self.open else { return };
        let Some(mut job) = open.job.take() else { return };
        let kept = keep_turn(open, &mut job, id, undone, changed);
        open.job = Some(job);
        match kept {
            Err(why) => self.fail(format!("nothing was done, as the audit log cannot be written: {why}")),
            Ok(title) => {
                self.snap.unsaved =
                    self.open.as_ref().and_then(|o| o.mending.recorder.as_ref()).is_some_and(|r| r.log().state().is_unsaved());
                self.log(Tone::Plain, format!("{}, synced: {title}", if undone { "taken back" } else { "accepted again" }));
                self.offer_all();
                self.lay_out();
                self.evaluate();
            }
        }
    }
}

fn keep_turn(open: &mut Open, job: &mut Job, id: usize, undone: bool, (target, feed): Changed) -> Result<String, String> {
    let mending = &mut open.mending;
    let recorder = mending.recorder.as_mut().ok_or("it was not begun")?;
    let offer = mending.offers.iter_mut().find(|o| o.id == id).ok_or("there is no such proposal any more")?;
    let (Some(number), Some(at)) = (offer.number, offer.accepted) else { return Err("it was never accepted".into()) };
    if undone {
        recorder.undone(number, "")?;
    } else {
        let (old, new) = (recipe_of(&job.target_feed), recipe_of(&feed));
        recorder.applied(number, &offer.proposal, old.as_deref(), new.as_deref())?;
    }
    (job.target, job.target_feed) = (target, feed);
    if let Some(accepted) = job.accepted.get_mut(at) {
        accepted.undone = undone;
    }
    mending.history.retain(|h| *h != id);
    if undone {
        mending.future.push((id, Standing::Accepted));
        offer.standing = Standing::Undone;
    } else {
        mending.future.retain(|(f, _)| *f != id);
        mending.history.push(id);
        offer.standing = Standing::Accepted;
    }
    mending.stale = true;
    Ok(offer.shown.title.clone())
}
