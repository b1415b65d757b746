//! All that the screen shows, as one value.

use super::commands::{Action, KeyMap};
use super::demos::Demo;
use super::derived::{Derived, Prepared};
use super::lines::Graph;
use super::picture::Picture;
use super::theme::Theme;
use crate::localize::Findings;
use crate::session::{Command, Flip, Proposal, Row, Sign, Snapshot, Standing, Tone};
use ratatui::layout::{Rect, Size};
use std::path::PathBuf;
use std::sync::Arc;
use tui_input::Input as TextInput;

/// What fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// The list of demonstrations.
    Demos,
    /// A case.
    Case,
}

/// The panes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pane {
    /// Both graphs.
    Graph,
    /// Flipped images.
    Image,
    /// The selected row in detail.
    Layer,
    /// What could be changed.
    Proposal,
    /// What happened.
    Log,
}

impl Pane {
    /// All, in the order of the tab key.
    pub const ALL: [Pane; 5] = [Pane::Graph, Pane::Image, Pane::Layer, Pane::Proposal, Pane::Log];

    /// Its title.
    pub fn name(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Image => "image",
            Self::Layer => "layer",
            Self::Proposal => "proposal",
            Self::Log => "log",
        }
    }
}

/// A border between panes that the mouse can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Between the graphs and the panes at their right.
    Side,
    /// Between these and the proposal below.
    Bottom,
}

/// A line that is typed.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The text.
    pub input: TextInput,
    /// What it could become.
    pub offers: Vec<String>,
    /// Why it was not taken.
    pub error: Option<String>,
}

impl Entry {
    /// A line that begins with a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { input: TextInput::from(text.into()), ..Self::default() }
    }
}

/// What lies over the panes and takes the keys.
#[derive(Debug, Clone)]
pub enum Overlay {
    /// Keys and signs.
    Help {
        /// Lines scrolled down.
        top: usize,
    },
    /// Commands by a few of their letters.
    Palette {
        /// The letters.
        input: TextInput,
        /// Which of the matches.
        at: usize,
        /// Whether it was chosen by hand: what matches by its description alone is not done otherwise.
        chosen: bool,
    },
    /// A note for a rejection.
    Note {
        /// The note.
        input: TextInput,
        /// The proposal it is about.
        proposal: usize,
    },
    /// Another value for a proposal.
    Edit {
        /// The value.
        entry: Entry,
        /// The value that it has.
        now: String,
        /// The proposal.
        proposal: usize,
    },
    /// An attribute for a node.
    Write {
        /// `name = value`.
        entry: Entry,
        /// What the node can have, as it could be written.
        attributes: Vec<String>,
        /// The row of the node.
        row: usize,
    },
    /// Under which name to write the repaired model.
    SaveAs {
        /// The path.
        entry: Entry,
    },
    /// One region alone.
    Region {
        /// The row.
        row: usize,
        /// Lines scrolled down.
        top: usize,
    },
    /// Whether to go on with a session that was cut short.
    Resume,
    /// What to search for.
    Search {
        /// The text.
        input: TextInput,
        /// The graph pane as it was.
        before: Box<Graph>,
        /// What was searched for before.
        last: String,
    },
    /// The path of a case file.
    Path {
        /// The path.
        entry: Entry,
    },
    /// One of several rows to go to.
    Choose {
        /// What they are.
        title: &'static str,
        /// Text and row.
        items: Vec<(String, usize)>,
        /// Which of them.
        at: usize,
        /// The graph pane as it was.
        before: Box<Graph>,
    },
    /// Whether a proposal that breaks more than it mends is to be accepted all the same.
    Harmful {
        /// The proposal.
        proposal: usize,
    },
    /// Accepted repairs are in no file yet: what to do before this.
    Unsaved(Action),
    /// What was done, at the end.
    Summary,
}

/// A line that goes away with the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    /// What it says.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
    /// The command that could not be done: once it can, there is nothing to say any more.
    pub refused: Option<Action>,
}

/// What the outside is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Something for the engine.
    Engine(Command),
    /// A picture of this size in cells.
    Picture(PathBuf, Size),
    /// Text for the terminal's clipboard.
    Copy(String),
    /// Everything is to be drawn again.
    Redraw,
    /// Back to the shell for a while.
    Suspend,
    /// Leave.
    Quit,
}

/// The whole of what the screen shows.
pub struct State {
    /// What fills the screen.
    pub screen: Screen,
    /// The engine's state.
    pub snapshot: Arc<Snapshot>,
    /// Worked out of its sheet.
    pub derived: Arc<Derived>,
    /// The graph pane.
    pub graph: Graph,
    /// The pane that takes the keys.
    pub focus: Pane,
    /// Whether it fills the screen.
    pub zoomed: bool,
    /// Which suspect; beyond the end when there is none.
    pub suspect: usize,
    /// Which of its proposals.
    pub alternative: usize,
    /// Which flipped image.
    pub image: usize,
    /// Columns at the right and rows at the bottom, where a person moved the borders.
    pub splits: [Option<u16>; 2],
    /// The border that is being moved.
    pub dragging: Option<Split>,
    /// Lines scrolled down in layer, proposal and log.
    pub scroll: [usize; 3],
    /// What lies over the panes.
    pub overlay: Option<Overlay>,
    /// A line that goes away with the next key.
    pub toast: Option<Toast>,
    /// What was searched for last.
    pub search: String,
    /// Colours and signs.
    pub theme: Theme,
    /// Keys.
    pub keys: KeyMap,
    /// Columns and rows of the terminal.
    pub size: Size,
    /// The demonstrations found.
    pub demos: Vec<Demo>,
    /// Which of them.
    pub demo: usize,
    /// The picture that is there.
    pub picture: Option<Picture>,
    /// The picture that was asked for last.
    pub wanted: Option<(PathBuf, Size)>,
    /// The row and image whose details were asked for last.
    pub inspected: Option<(u64, usize, usize)>,
    /// Counts what the engine said, for the spinner.
    pub beat: usize,
    /// Whether the end was shown.
    pub summed_up: bool,
    /// Whether it was asked about a session that was cut short.
    pub asked_to_resume: bool,
    /// The row whose source side is to be one half of a pair.
    pub pinning: Option<usize>,
    /// The proposal that is being tried on all images: what comes of it is said.
    pub trying: Option<usize>,
    /// What was said of a pair, while faults are looked for with it.
    pub pairing: Option<String>,
    /// What had been found before faults are looked for again: what changed is said.
    pub looking: Option<Option<Arc<Findings>>>,
    /// Whether work was cancelled: what stands is said.
    pub cancelling: bool,
    /// Which of the worst regions was gone to last, and its row.
    pub worst: Option<(usize, usize)>,
    /// Accepting and saving that were asked for before there was anything to accept, and why nothing came of them.
    pub not_done: Vec<(&'static str, &'static str)>,
    /// Whether hints are shown.
    pub hints: bool,
    /// Whether they were put away.
    pub hints_away: bool,
}

impl State {
    /// An empty screen.
    pub fn new(size: Size, theme: Theme, keys: KeyMap, demos: Vec<Demo>) -> Self {
        Self {
            screen: Screen::Demos,
            snapshot: Arc::default(),
            derived: Arc::default(),
            graph: Graph::default(),
            focus: Pane::Graph,
            zoomed: false,
            suspect: 0,
            alternative: 0,
            image: 0,
            splits: [None; 2],
            dragging: None,
            scroll: [0; 3],
            overlay: None,
            toast: None,
            search: String::new(),
            theme,
            keys,
            size,
            demos,
            demo: 0,
            picture: None,
            wanted: None,
            inspected: None,
            beat: 0,
            summed_up: false,
            asked_to_resume: false,
            pinning: None,
            trying: None,
            pairing: None,
            looking: None,
            cancelling: false,
            worst: None,
            not_done: Vec::new(),
            hints: false,
            hints_away: false,
        }
    }

    /// The whole screen.
    pub fn area(&self) -> Rect {
        Rect::new(0, 0, self.size.width, self.size.height)
    }

    /// The row under the cursor.
    pub fn row(&self) -> Option<&Row> {
        self.snapshot.sheet.as_ref()?.rows.get(self.graph.row()?)
    }

    /// How many suspects there are.
    pub fn suspect_count(&self) -> usize {
        self.snapshot.findings.as_ref().map_or(0, |f| f.suspects.len())
    }

    /// The row of a suspect; that of the inputs when the recipe is to blame.
    pub fn suspect_row(&self, suspect: usize) -> Option<usize> {
        let found = self.snapshot.findings.as_ref()?.suspects.get(suspect)?;
        match found.region {
            None => Some(0),
            Some(region) => self.snapshot.sheet.as_ref()?.row_of_region(region),
        }
    }

    /// The suspect of a row.
    pub fn suspect_at(&self, row: usize) -> Option<usize> {
        let sheet = self.snapshot.sheet.as_ref()?;
        let region = sheet.rows.get(row)?.region;
        let suspects = &self.snapshot.findings.as_ref()?.suspects;
        let own = suspects.iter().position(|s| if row == 0 { s.region.is_none() } else { s.region.is_some() && s.region == region });
        // What mends a region can stand in another one, above it.
        let touched = || self.snapshot.proposals.iter().find(|p| p.suspect < suspects.len() && p.places.contains(&row));
        own.or_else(|| touched().map(|p| p.suspect))
    }

    /// Rows by isolated error, the largest first; what was mended no longer counts, nor what is at the floor where something is not.
    pub fn worst_rows(&self) -> Vec<usize> {
        let sheet = self.snapshot.sheet.as_ref();
        let rows = sheet.map_or(&[][..], |s| &s.rows);
        let mut measured: Vec<(usize, f32)> = rows.iter().enumerate().filter_map(|(i, r)| Some((i, r.isolated?))).collect();
        measured.retain(|(i, _)| self.sign(*i) != Sign::Repaired);
        measured.sort_by(|a, b| b.1.total_cmp(&a.1));
        let threshold = sheet.and_then(|s| s.floor).map_or(0.0, |(_, threshold)| threshold);
        let above = measured.iter().filter(|(_, error)| *error > threshold).count();
        measured.truncate(if above > 0 { above } else { measured.len() });
        measured.into_iter().map(|(i, _)| i).collect()
    }

    /// Whether a row is what is searched for; `needle` is in lower case.
    pub fn matches(&self, row: usize, needle: &str) -> bool {
        self.derived.haystack.get(row).is_some_and(|h| h.contains(needle)) || self.sign(row).name().contains(needle)
    }

    /// The isolated error that the accepted edit of a mended row left.
    pub fn mended_error(&self, row: usize) -> Option<f32> {
        let suspect = self.suspect_at(row).filter(|_| self.sign(row) == Sign::Repaired)?;
        let accepted = |p: &&Proposal| p.suspect == suspect && p.standing == Standing::Accepted;
        self.snapshot.proposals.iter().find(accepted)?.region.map(|(_, after)| after)
    }

    /// The proposals for the suspect, as they are listed.
    pub fn alternatives(&self) -> Vec<&Proposal> {
        self.snapshot.proposals.iter().filter(|p| p.suspect == self.suspect).collect()
    }

    /// The proposal that accept and reject are about.
    pub fn proposal(&self) -> Option<&Proposal> {
        let all = self.alternatives();
        all.get(self.alternative.min(all.len().saturating_sub(1))).copied()
    }

    /// The image that is shown.
    pub fn flip(&self) -> Option<&Flip> {
        self.snapshot.images.listed().get(self.image)
    }

    /// The sign of a row, proposals considered.
    pub fn sign(&self, row: usize) -> Sign {
        let Some(sign) = self.snapshot.sheet.as_ref().and_then(|s| s.rows.get(row)).map(|r| r.sign) else { return Sign::Unknown };
        let Some(suspect) = self.suspect_at(row) else { return sign };
        // In a row that a proposal only touches nothing is at fault unless it says so.
        let only_touched = self.suspect_row(suspect) != Some(row);
        let mut of = self.snapshot.proposals.iter().filter(|p| p.suspect == suspect).peekable();
        if of.peek().is_none() {
            return if sign == Sign::Unknown { Sign::Faulty } else { sign };
        }
        let mut open = false;
        for p in of {
            match p.standing {
                Standing::Accepted => return Sign::Repaired,
                Standing::Open | Standing::Undone | Standing::Skipped => open = true,
                Standing::Rejected(_) => {}
            }
        }
        if open {
            Sign::Proposed
        } else if only_touched {
            sign
        } else {
            Sign::Faulty
        }
    }

    /// Takes over what the engine said.
    pub fn take(&mut self, prepared: Prepared) {
        self.snapshot = prepared.snapshot;
        self.derived = prepared.derived;
    }

    /// A line that goes away with the next key.
    pub fn say(&mut self, text: impl Into<String>, tone: Tone) {
        self.toast = Some(Toast { text: text.into(), tone, refused: None });
    }
}
