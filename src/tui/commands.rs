//! The one table of commands. Key bar, help, palette, the README's key list and the manual page are made from it.

use super::keys::Key;
use super::state::{Pane, Screen, State};
use crate::session::{Load, Standing};

/// Parts of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Deciding on repairs.
    Repair,
    /// Going from suspect to suspect and image to image.
    Jump,
    /// Reading the two graphs.
    Graph,
    /// Moving and arranging.
    Move,
    /// Everything else.
    Program,
}

impl Group {
    /// All, in the order of the help.
    pub const ALL: [Group; 5] = [Group::Repair, Group::Jump, Group::Graph, Group::Move, Group::Program];

    /// Its heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::Repair => "Repairs",
            Self::Jump => "Suspects and images",
            Self::Graph => "The two graphs",
            Self::Move => "Moving about",
            Self::Program => "The program",
        }
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Spec {
    /// What is done.
    pub action: Action,
    /// Keys of the default key map, as text.
    pub keys: &'static [&'static str],
    /// Name for the configuration file and the palette.
    pub id: &'static str,
    /// Short name for the key bar.
    pub short: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Where it stands in the help.
    pub group: Group,
}

macro_rules! commands {
    ($($action:ident $id:literal [$($key:literal)*] $short:literal $group:ident $help:literal;)*) => {
        /// What a person can ask for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Action { $($action),* }

        /// The table.
        pub const COMMANDS: &[Spec] = &[$(Spec { action: Action::$action, keys: &[$($key),*], id: $id, short: $short, help: $help, group: Group::$group }),*];
    };
}

commands! {
    Accept "accept" ["a"] "accept" Repair "accept the proposal shown: its edit is applied and the images are run again";
    Reject "reject" ["r"] "reject" Repair "reject the proposal; a note for the log may be given";
    Skip "skip" ["s"] "skip" Repair "decide later and go on to the next suspect";
    Undo "undo" ["u"] "undo" Repair "take the last decision back";
    Redo "redo" ["ctrl-r"] "redo" Repair "do again what was taken back";
    Alternative "alternative" ["A"] "alternative" Repair "show the next way to mend this suspect";
    WhatIf "what-if" ["space"] "what if" Repair "try the proposal on all images without accepting it";
    Edit "edit-value" ["e"] "edit value" Repair "propose the same with another value";
    Write "own-edit" ["E"] "own edit" Repair "write an attribute for the target's node in this row";
    Take "take-from-source" ["t"] "take from source" Repair "propose to take over what the source has in this row";
    Localize "find-faults" ["L"] "find faults" Repair "look for the regions that introduce errors";
    Save "save" ["w"] "save" Repair "write the repaired model and its recipe beside the target; in the shell, fixcon replay LOG makes them again";
    SaveAs "save-as" ["S"] "save as" Repair "write the repaired model under another name";
    Report "report" ["W"] "report" Repair "write a report of the session beside its log, as a page and as Markdown";

    NextSuspect "next-suspect" ["}"] "next suspect" Jump "go to the next suspect";
    PreviousSuspect "previous-suspect" ["{"] "previous suspect" Jump "go to the previous suspect";
    NextImage "next-image" ["]"] "next image" Jump "show the next image whose label differs";
    PreviousImage "previous-image" ["["] "previous image" Jump "show the previous image whose label differs";
    Worst "worst-region" ["!"] "worst region" Jump "go to the region with the largest isolated error";

    Details "details" ["enter"] "details" Graph "open or close a fold or a region's nodes";
    Region "region" ["i"] "region" Graph "look into this region alone: its nodes on both sides, what they read and make";
    Fold "fold" ["z"] "fold" Graph "open or close the fold here";
    FoldAll "fold-all" ["Z"] "fold all" Graph "open or close all folds";
    Producer "to-producer" ["("] "to producer" Graph "go up to the row that makes this row's input; again for its next input";
    Consumer "to-consumer" [")"] "to consumer" Graph "go down to the row that reads this row's output; again for the next reader";
    Search "search" ["/"] "search" Graph "search names, operators, fault kinds and verdicts";
    NextMatch "next-match" ["n"] "next match" Graph "go to the next match";
    PreviousMatch "previous-match" ["N"] "previous match" Graph "go to the previous match";
    Bookmark "bookmark" ["m"] "bookmark" Graph "set a bookmark on this row, or take it away";
    NextBookmark "next-bookmark" ["'"] "next bookmark" Graph "go to the next bookmark";
    Names "names" ["<"] "names" Graph "show operators or names of nodes";
    Pin "pin-pair" ["P"] "pin pair" Graph "say that two values are a pair: once on the source's row, once on the target's";
    Forbid "forbid-pair" ["X"] "forbid pair" Graph "say that what flows out of this row is no pair, and look again";
    Unpair "free-pair" ["U"] "free pair" Graph "take back what was pinned or forbidden in this row, and look again";

    Up "up" ["up" "k"] "up" Move "one row up";
    Down "down" ["down" "j"] "down" Move "one row down";
    Left "left" ["left" "h"] "left" Move "pane to the left";
    Right "right" ["right" "l"] "right" Move "pane to the right";
    PageUp "page-up" ["pgup" "ctrl-b"] "page up" Move "one page up";
    PageDown "page-down" ["pgdn" "ctrl-f"] "page down" Move "one page down";
    Top "top" ["home" "g"] "top" Move "to the first row";
    Bottom "bottom" ["end" "G"] "bottom" Move "to the last row";
    NextPane "next-pane" ["tab"] "next pane" Move "go to the next pane";
    PreviousPane "previous-pane" ["shift-tab"] "previous pane" Move "go to the previous pane";
    Zoom "zoom" ["+"] "zoom" Move "let the pane fill the screen, or put it back";

    Palette "commands" [":"] "commands" Program "find any command by a few of its letters";
    Help "help" ["?" "f1"] "help" Program "what all keys and signs mean";
    OpenCase "open" ["o"] "open" Program "open a case file by its path";
    Demos "demonstrations" ["D"] "demonstrations" Program "back to the list of demonstrations";
    Cancel "cancel" ["x"] "cancel" Program "stop what the engine is doing";
    Resume "resume" ["R"] "resume" Program "go on with a session that ended without leaving (killed, terminal lost), from its log";
    Hints "hints" ["H"] "hints" Program "show or put away the hints";
    Theme "theme" ["T"] "theme" Program "dark or light colours";
    Copy "copy" ["y"] "copy" Program "copy what was found and done, as text, to the terminal's clipboard";
    Redraw "redraw" ["ctrl-l"] "redraw" Program "draw the whole screen again";
    Suspend "suspend" ["ctrl-z"] "suspend" Program "back to the shell; fg comes back here";
    Quit "quit" ["q" "ctrl-c"] "quit" Program "leave; asks when something is not saved";
}

impl Action {
    /// Its row of the table.
    pub fn spec(self) -> &'static Spec {
        // The table has one row for each variant, in the same order.
        &COMMANDS[self as usize]
    }

    /// The action of this id.
    pub fn from_id(id: &str) -> Option<Self> {
        COMMANDS.iter().find(|s| s.id == id).map(|s| s.action)
    }

    /// Whether it can be done now, and if not, why.
    ///
    /// # Errors
    /// The reason, as a short sentence without a full stop.
    pub fn possible(self, state: &State) -> Result<(), &'static str> {
        let snap = &state.snapshot;
        let when = |ok: bool, why: &'static str| if ok { Ok(()) } else { Err(why) };
        let in_case = state.screen == Screen::Case;
        let case_only = "open a case first";
        match self {
            Self::Accept | Self::Reject | Self::Skip => {
                when(in_case, case_only)?;
                let Some(proposal) = state.proposal() else {
                    return Err(if snap.findings.is_none() {
                        "faults were not looked for yet"
                    } else if state.suspect_count() == 0 {
                        "there is no suspect"
                    } else {
                        "there is no proposal for this suspect"
                    });
                };
                when(proposal.standing != Standing::Accepted, "it is accepted already; u takes it back")
            }
            Self::WhatIf | Self::Edit => {
                when(in_case, case_only)?;
                let Some(proposal) = state.proposal() else { return Err("there is no proposal here") };
                when(self == Self::WhatIf || proposal.editable.is_some(), "this proposal has no single value to edit")?;
                when(proposal.standing != Standing::Accepted, "it is accepted already; u takes it back")
            }
            Self::Write | Self::Take | Self::Forbid | Self::Pin => {
                when(in_case && snap.findings.is_some(), "faults were not looked for yet")?;
                when(state.graph.row().is_some_and(|r| r > 0), "go to the row of a node first")
            }
            Self::Unpair => when(state.row().is_some_and(|r| !r.said.is_empty()), "nothing was pinned or forbidden in this row"),
            Self::Resume => {
                when(in_case && snap.resumable.is_some() && snap.images.are_compared(), "there is no session that was cut short")
            }
            Self::Undo => when(snap.can_undo, "nothing was decided yet"),
            Self::Redo => when(snap.can_redo, "nothing was taken back"),
            Self::Alternative => when(state.alternatives().len() > 1, "there is no other proposal"),
            Self::Localize => {
                when(in_case, case_only)?;
                when(snap.work.is_none(), "wait for the work under way, or cancel it with x")?;
                when(matches!(snap.source, Load::Ready { .. }), "the source is not loaded")
            }
            Self::Save => when(snap.unsaved, "there is nothing to save"),
            Self::SaveAs => when(snap.unsaved || snap.saved.is_some(), "there is nothing to save: no repair was accepted"),
            Self::Report => when(in_case && snap.findings.is_some(), "faults were not looked for yet"),
            Self::Copy => when(in_case && snap.images.done > 0, "no image was compared yet"),
            Self::Region => {
                when(in_case && snap.sheet.is_some(), "the graphs are not loaded yet")?;
                when(state.graph.row().is_some_and(|r| r > 0), "go to the row of a node first")
            }
            Self::NextSuspect | Self::PreviousSuspect => {
                when(snap.findings.is_some(), "faults were not looked for yet")?;
                when(state.suspect_count() > 0, "there is no suspect")
            }
            Self::NextImage | Self::PreviousImage => when(!snap.images.listed().is_empty(), "no image was compared yet"),
            Self::Worst => {
                when(snap.sheet.as_ref().is_some_and(|s| s.rows.iter().any(|r| r.isolated.is_some())), "no region was measured yet")
            }
            Self::Details | Self::Fold | Self::FoldAll | Self::Producer | Self::Consumer | Self::Search | Self::Bookmark | Self::Names => {
                if self == Self::Details && state.screen == Screen::Demos {
                    return when(!state.demos.is_empty(), "there is no demonstration here");
                }
                when(in_case && snap.sheet.is_some(), "the graphs are not loaded yet")
            }
            Self::NextMatch | Self::PreviousMatch => when(!state.search.is_empty(), "search for something first, with /"),
            Self::NextBookmark => when(!state.graph.bookmarks.is_empty(), "there is no bookmark; m sets one"),
            Self::Cancel => when(snap.work.is_some(), "nothing is being done"),
            Self::Zoom | Self::NextPane | Self::PreviousPane | Self::Demos => when(in_case, case_only),
            _ => Ok(()),
        }
    }
}

/// Which keys do what.
#[derive(Debug, Clone)]
pub struct KeyMap {
    keys: Vec<(Key, Action)>,
}

impl Default for KeyMap {
    fn default() -> Self {
        let keys = COMMANDS.iter().flat_map(|s| s.keys.iter().filter_map(|k| Some((k.parse().ok()?, s.action))));
        Self { keys: keys.collect() }
    }
}

impl KeyMap {
    /// Gives a command other keys. A key that did something else does this now.
    ///
    /// # Errors
    /// When there is no such command or key.
    pub fn set(&mut self, id: &str, keys: &[String]) -> Result<(), String> {
        let action = Action::from_id(id).ok_or_else(|| {
            let nearest = COMMANDS.iter().map(|s| s.id).max_by(|a, b| strsim::jaro(a, id).total_cmp(&strsim::jaro(b, id)));
            format!("there is no command '{id}'; did you mean '{}'?", nearest.unwrap_or_default())
        })?;
        let keys = keys.iter().map(|k| k.parse::<Key>()).collect::<Result<Vec<_>, _>>()?;
        self.keys.retain(|(k, a)| *a != action && !keys.contains(k));
        self.keys.extend(keys.into_iter().map(|k| (k, action)));
        Ok(())
    }

    /// What a key does.
    pub fn action(&self, key: Key) -> Option<Action> {
        self.keys.iter().find(|(k, _)| *k == key).map(|(_, a)| *a)
    }

    /// The keys of an action, as text.
    pub fn keys(&self, action: Action) -> Vec<String> {
        self.keys.iter().filter(|(_, a)| *a == action).map(|(k, _)| k.to_string()).collect()
    }

    /// The first key of an action, as text; empty when it has none.
    pub fn key(&self, action: Action) -> String {
        self.keys.iter().find(|(_, a)| *a == action).map(|(k, _)| k.to_string()).unwrap_or_default()
    }
}

/// The commands of the list of demonstrations.
pub const OF_LIST: &[Action] =
    &[Action::Down, Action::Up, Action::PageDown, Action::Bottom, Action::OpenCase, Action::Theme, Action::Palette, Action::Quit];

/// The commands that are about a pane, the most useful first: the help begins with them.
pub fn of_pane(pane: Pane) -> &'static [Action] {
    use Action::*;
    match pane {
        Pane::Graph => &[
            Details,
            Region,
            NextSuspect,
            Worst,
            Producer,
            Consumer,
            Search,
            NextMatch,
            Fold,
            FoldAll,
            Bookmark,
            NextBookmark,
            Names,
            Write,
            Take,
            Pin,
            Forbid,
            Unpair,
            Zoom,
        ],
        Pane::Image => &[NextImage, PreviousImage, Up, Down, Zoom],
        Pane::Layer => &[Up, Down, PageDown, Take, Write, Region, Zoom],
        Pane::Proposal => &[Accept, Reject, Skip, WhatIf, Edit, Alternative, Undo, Redo, NextSuspect, Save, Zoom],
        Pane::Log => &[Up, Down, PageUp, Report, Zoom],
    }
}

/// What the key bar offers in a pane, the most useful first; palette, help and quit are always there.
pub fn offered(state: &State) -> Vec<Action> {
    use Action::*;
    if state.screen == Screen::Demos {
        return vec![Details, OpenCase, Theme, Down, Up, PageDown, Bottom];
    }
    let mut out = Vec::new();
    if !state.search.is_empty() {
        out.extend([NextMatch, PreviousMatch]);
    }
    if state.snapshot.work.is_some() && state.snapshot.findings.is_none() {
        out.push(Cancel);
    }
    if state.snapshot.findings.is_some() {
        let decided = state.proposal().is_some_and(|p| p.standing == Standing::Accepted);
        match state.proposal() {
            Some(_) if !decided => out.extend([Accept, Reject, Skip]),
            // Where no repair is known, a person may know one.
            None if state.suspect_count() > 0 && state.snapshot.work.is_none() => out.extend([Take, Write]),
            _ => {}
        }
        if state.snapshot.can_undo {
            out.push(Undo);
        }
        if state.snapshot.unsaved {
            out.push(Save);
        }
        if state.alternatives().len() > 1 {
            out.push(Alternative);
        }
        if state.suspect_count() > 1 {
            out.push(NextSuspect);
        }
    } else if Localize.possible(state).is_ok() {
        out.push(Localize);
    }
    if !state.snapshot.images.listed().is_empty() {
        out.push(NextImage);
    }
    if state.snapshot.work.is_some() && state.snapshot.findings.is_some() {
        out.push(Cancel);
    }
    if state.row().is_some_and(|r| !r.said.is_empty()) {
        out.push(Unpair);
    }
    match state.focus {
        Pane::Graph => out.extend([Details, Search, Worst, Region, FoldAll]),
        _ => out.push(Zoom),
    }
    out.push(NextPane);
    out
}

/// The table as Markdown, for the README.
pub fn markdown() -> String {
    let mut out = String::from("| key | command | |\n|---|---|---|\n");
    for group in Group::ALL {
        out.push_str(&format!("| | **{}** | |\n", group.name()));
        for s in COMMANDS.iter().filter(|s| s.group == group) {
            let keys: Vec<String> = s.keys.iter().map(|k| format!("`{}`", k.replace('|', "\\|"))).collect();
            out.push_str(&format!("| {} | {} | {} |\n", keys.join(" "), s.id, s.help));
        }
    }
    out
}

/// The table as a section of the manual page.
pub fn manual() -> String {
    let plain = |text: &str| text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let mut out = String::from(".SH KEYS\nThey can be changed in the configuration file, by the names in brackets.\n");
    for group in Group::ALL {
        out.push_str(&format!(".SS {}\n", group.name()));
        for s in COMMANDS.iter().filter(|s| s.group == group) {
            out.push_str(&format!(".TP\n\\fB{}\\fR [{}]\n{}\n", plain(&s.keys.join(" ")), plain(s.id), plain(s.help)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_where_its_action_says_and_every_key_is_a_key() {
        // A command may be called after its key.
        let (mut seen, mut keys) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        for (i, s) in COMMANDS.iter().enumerate() {
            assert_eq!(s.action as usize, i);
            assert!(seen.insert(s.id), "{} twice", s.id);
            // One name, whether it is read in the key bar or in the configuration file.
            assert_eq!(s.id, s.short.replace(' ', "-"));
            for k in s.keys {
                assert!(k.parse::<Key>().is_ok(), "{k}");
                assert!(keys.insert(k), "key {k} twice");
            }
        }
    }

    #[test]
    fn keys_can_be_given_to_other_commands() {
        let mut map = KeyMap::default();
        map.set("accept", &["y".into(), "ctrl-a".into()]).expect("there is such a command");
        assert_eq!(map.action("y".parse().expect("key")), Some(Action::Accept));
        assert_eq!(map.action("a".parse().expect("key")), None);
        assert!(map.set("acept", &[]).unwrap_err().contains("'accept'"));
        assert!(map.set("accept", &["nokey".into()]).is_err());
    }
}
