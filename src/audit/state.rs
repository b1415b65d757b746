//! What a log says altogether: its records taken one after the other.

use super::{Applied, Change, Closed, Decided, Decision, Evaluated, Event, Opened, Proposed, Saved, Subset, Suspected, recipe};
use std::collections::BTreeMap;

/// The highest number of a suspect or proposal: a log that names a higher one was made to annoy, and numbers go on from there.
const HIGHEST: u32 = 1 << 30;

/// The state of a session as its log tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The session as it was opened last.
    pub opened: Opened,
    /// All proposals by number, with the last decision on each that was not taken back.
    pub proposals: BTreeMap<u32, (Proposed, Option<Decided>)>,
    /// Every decision, in order.
    pub decisions: Vec<Decided>,
    /// Edits that are made, in the order in which they were.
    pub edits: Vec<Edited>,
    /// Edits that were taken back and not made again, the last one last.
    pub undone: Vec<Edited>,
    /// The last evaluation of each part of the images.
    pub evaluated: Vec<Evaluated>,
    /// The model as it was saved last.
    pub saved: Option<Saved>,
    /// How the session ended, once it has.
    pub closed: Option<Closed>,
    suspects: u32,
}

/// An edit that was made, and the record that says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// Number of the record.
    pub seq: u64,
    /// The edit.
    pub applied: Applied,
}

impl State {
    /// The state behind the first record.
    ///
    /// # Errors
    /// In words, when the record opens no session.
    pub(super) fn start(event: &Event) -> Result<Self, String> {
        let Event::Opened(opened) = event else { return Err("the first record of a log is 'opened'".into()) };
        Ok(Self {
            opened: opened.clone(),
            proposals: BTreeMap::new(),
            decisions: Vec::new(),
            edits: Vec::new(),
            undone: Vec::new(),
            evaluated: Vec::new(),
            saved: None,
            closed: None,
            suspects: 0,
        })
    }

    /// Takes the next record in.
    ///
    /// # Errors
    /// In words, when it contradicts the state, which then stays as it is.
    pub(super) fn take(&mut self, seq: u64, event: &Event) -> Result<(), String> {
        if self.closed.is_some() && !matches!(event, Event::Opened(_)) {
            return Err("the session was closed; 'opened' must come before anything else".into());
        }
        match event {
            Event::Opened(opened) => self.reopen(opened)?,
            Event::Evaluated(e) => {
                self.evaluated.retain(|o| o.on != e.on);
                self.evaluated.push(e.clone());
            }
            // What was looked at is for people; the suspects behind it count.
            Event::Localized(_) => {}
            Event::Suspect(Suspected { suspect: number, .. }) | Event::Proposed(Proposed { proposal: number, .. }) if *number > HIGHEST => {
                return Err(format!("the number {number} leaves none for the next"));
            }
            Event::Suspect(s) => self.suspects = self.suspects.max(s.suspect),
            Event::Proposed(p) if self.is_made(p.proposal) => {
                return Err(format!("proposal {} is made already, it cannot be proposed again", p.proposal));
            }
            Event::Proposed(p) => drop(self.proposals.insert(p.proposal, (p.clone(), None))),
            Event::Decided(d) => self.decide(d)?,
            Event::Applied(a) => self.apply(seq, a)?,
            Event::Undone(u) => self.undo(u.proposal)?,
            Event::Saved(s) => {
                let made = self.made();
                if s.edits != made {
                    return Err(format!("the saved model is said to hold the edits {:?}; {made:?} are made", s.edits));
                }
                self.saved = Some(s.clone());
            }
            Event::Closed(c) => self.closed = Some(c.clone()),
        }
        Ok(())
    }

    fn reopen(&mut self, opened: &Opened) -> Result<(), String> {
        if let Some(how) = self.opened.target.differs(&opened.target) {
            return Err(format!("the log is about another target: {how}"));
        }
        self.opened = opened.clone();
        self.closed = None;
        Ok(())
    }

    fn decide(&mut self, decided: &Decided) -> Result<(), String> {
        let made = self.is_made(decided.proposal);
        let (_, last) = self.proposals.get_mut(&decided.proposal).ok_or_else(|| format!("proposal {} was never made", decided.proposal))?;
        if made && decided.decision != Decision::Accept {
            return Err(format!("the edit of proposal {} is made; it must be taken back first", decided.proposal));
        }
        *last = Some(decided.clone());
        self.decisions.push(decided.clone());
        Ok(())
    }

    fn apply(&mut self, seq: u64, applied: &Applied) -> Result<(), String> {
        let number = applied.proposal;
        let decision = self.proposals.get(&number).and_then(|(_, d)| d.as_ref()).map(|d| d.decision);
        if decision != Some(Decision::Accept) {
            return Err(format!("proposal {number} was not accepted, its edit cannot be made"));
        }
        if self.is_made(number) {
            return Err(format!("the edit of proposal {number} is made already"));
        }
        self.undone.retain(|e| e.applied.proposal != number);
        self.edits.push(Edited { seq, applied: applied.clone() });
        Ok(())
    }

    /// Takes an edit back, or the decision to make none.
    fn undo(&mut self, number: u32) -> Result<(), String> {
        if let Some(at) = self.edits.iter().position(|e| e.applied.proposal == number) {
            let edited = self.edits.remove(at);
            self.undone.push(edited);
            return Ok(());
        }
        match self.proposals.get_mut(&number) {
            Some((_, decided @ Some(_))) if decided.as_ref().is_some_and(|d| d.decision != Decision::Accept) => *decided = None,
            _ => return Err(format!("the edit of proposal {number} is not made, and it was not refused: there is nothing to take back")),
        }
        Ok(())
    }

    /// Whether the edit of a proposal is made.
    pub fn is_made(&self, proposal: u32) -> bool {
        self.edits.iter().any(|e| e.applied.proposal == proposal)
    }

    /// Proposals whose edits are made, in the order in which they were.
    pub fn made(&self) -> Vec<u32> {
        self.edits.iter().map(|e| e.applied.proposal).collect()
    }

    /// Accepted proposals whose edits were never made: the session ended in between.
    pub fn unfinished(&self) -> Vec<u32> {
        let known = |n: u32| self.is_made(n) || self.undone.iter().any(|e| e.applied.proposal == n);
        let accepted = |d: &Option<Decided>| d.as_ref().is_some_and(|d| d.decision == Decision::Accept);
        self.proposals.iter().filter(|(n, (_, d))| accepted(d) && !known(**n)).map(|(n, _)| *n).collect()
    }

    /// Whether edits were made or taken back since the model was saved last, or ever.
    pub fn is_unsaved(&self) -> bool {
        self.saved.as_ref().map_or(!self.edits.is_empty(), |s| s.edits != self.made())
    }

    /// The last evaluation of part of the images.
    pub fn evaluation(&self, on: Subset) -> Option<&Evaluated> {
        self.evaluated.iter().find(|e| e.on == on)
    }

    /// A number that no proposal has.
    pub fn next_proposal(&self) -> u32 {
        self.proposals.keys().next_back().map_or(1, |n| n + 1)
    }

    /// A number that no suspect has.
    pub fn next_suspect(&self) -> u32 {
        self.suspects + 1
    }

    /// The target's recipe with the changes that are made, as TOML; none where the images are tensors.
    ///
    /// # Errors
    /// Number of the record and words, when a change cannot be made.
    pub fn recipe(&self) -> Result<Option<String>, (u64, String)> {
        let Some(mut recipe) = self.opened.target_recipe.clone() else { return Ok(None) };
        for edit in &self.edits {
            for change in &edit.applied.changes {
                if let Change::Recipe(change) = change {
                    recipe = change.apply(&recipe).map_err(|why| (edit.seq, why))?;
                }
            }
        }
        Ok(Some(recipe))
    }

    /// Whether a recipe is the one that the changes make.
    pub(super) fn has_recipe(&self, other: Option<&str>) -> Result<bool, (u64, String)> {
        Ok(recipe::same(self.recipe()?.as_deref(), other))
    }
}
