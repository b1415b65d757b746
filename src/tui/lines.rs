//! Which lines of the sheet are on the screen: rows, folds over clean runs, and the nodes of a row that was opened.

use crate::session::Sheet;
use std::collections::BTreeSet;

/// One line of the graph pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A row of the sheet.
    Row(usize),
    /// Rows from the first to the last, folded.
    Fold(usize, usize),
    /// The nodes at this place of a row that is open.
    Node(usize, usize),
}

impl Line {
    /// The row it belongs to; of a fold the first.
    pub fn row(self) -> usize {
        match self {
            Self::Row(r) | Self::Fold(r, _) | Self::Node(r, _) => r,
        }
    }
}

/// Runs of clean rows shorter than this are not worth a fold.
const SHORTEST: usize = 4;
/// Rows that stay open beside one that is not clean.
const CONTEXT: usize = 2;

/// The graph pane: what is open, and where the cursor is.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The lines, made from the sheet and from what is open.
    pub lines: Vec<Line>,
    /// Index into the lines.
    pub cursor: usize,
    /// First line on the screen.
    pub top: usize,
    /// Rows whose fold was opened.
    unfolded: BTreeSet<usize>,
    /// Rows whose nodes are shown.
    open: BTreeSet<usize>,
    /// Nothing is folded.
    pub all_open: bool,
    /// Rows that a person marked.
    pub bookmarks: BTreeSet<usize>,
    /// Names in place of operators.
    pub names: bool,
    /// Lines that there are when all is folded that can be.
    pub least: usize,
    /// Lines that the pane has room for.
    height: usize,
    /// Rows that stay open beside one that is not clean.
    context: usize,
}

impl Graph {
    /// Nothing to show.
    pub fn clear(&mut self) {
        *self = Self { names: self.names, height: self.height, ..Self::default() };
    }

    /// Another sheet: forgets what was open, keeps no cursor.
    pub fn reset(&mut self, sheet: &Sheet) {
        self.clear();
        self.layout(sheet);
    }

    /// The pane has another height: what was folded opens as far as there is room.
    pub fn fit(&mut self, height: usize, sheet: &Sheet) {
        if height != self.height {
            self.height = height;
            self.layout(sheet);
        }
    }

    /// Makes the lines again; the cursor stays on its row.
    pub fn layout(&mut self, sheet: &Sheet) {
        let row = self.row();
        // As many rows around what calls as there is room for.
        let plain = Self { bookmarks: self.bookmarks.clone(), ..Self::default() };
        let wider = [4, 8, 16, 32, sheet.rows.len()].into_iter();
        let fits = |context: &usize| plain.folded(sheet, *context).len() <= self.height;
        self.least = plain.folded(sheet, CONTEXT).len();
        self.context = wider.take_while(fits).last().unwrap_or(CONTEXT);
        self.lines = self.folded(sheet, self.context);
        if let Some(row) = row {
            self.cursor = self.line_of(row);
        }
        self.cursor = self.cursor.min(self.lines.len().saturating_sub(1));
    }

    fn folded(&self, sheet: &Sheet, context: usize) -> Vec<Line> {
        let keep = self.kept(sheet, context);
        let mut lines = Vec::with_capacity(sheet.rows.len());
        let mut at = 0;
        while at < sheet.rows.len() {
            let mut end = at;
            while end < sheet.rows.len() && sheet.aligned && !self.all_open && !keep[end] {
                end += 1;
            }
            if end - at >= SHORTEST && self.unfolded.range(at..end).next().is_none() {
                lines.push(Line::Fold(at, end - 1));
                at = end;
                continue;
            }
            for r in at..end.max(at + 1) {
                lines.push(Line::Row(r));
                if self.open.contains(&r) {
                    let row = &sheet.rows[r];
                    let count = [&row.source, &row.target].iter().filter_map(|c| c.as_ref()).map(|c| c.ops.len()).max().unwrap_or(0);
                    lines.extend((0..count).map(|i| Line::Node(r, i)));
                }
            }
            at = end.max(at + 1);
        }
        lines
    }

    /// The row under the cursor.
    pub fn row(&self) -> Option<usize> {
        self.lines.get(self.cursor).map(|l| l.row())
    }

    /// The line that shows a row, or the fold it is in.
    pub fn line_of(&self, row: usize) -> usize {
        let at = self.lines.partition_point(|l| l.row() <= row).saturating_sub(1);
        // Back from a row's nodes to the row.
        (0..=at).rev().find(|i| !matches!(self.lines[*i], Line::Node(..))).unwrap_or(0)
    }

    /// Puts the cursor on a row; opens the fold it is in.
    pub fn go_to(&mut self, row: usize, sheet: &Sheet) {
        if row >= sheet.rows.len() {
            return;
        }
        let line = self.line_of(row);
        if let Some(Line::Fold(from, to)) = self.lines.get(line).copied()
            && (from..=to).contains(&row)
        {
            self.unfolded.insert(row);
            self.layout(sheet);
        }
        self.cursor = self.line_of(row);
    }

    /// Opens or closes the fold at the cursor.
    pub fn toggle_fold(&mut self, sheet: &Sheet) {
        let Some(line) = self.lines.get(self.cursor).copied() else { return };
        match line {
            Line::Fold(from, _) => {
                self.unfolded.insert(from);
            }
            Line::Row(row) | Line::Node(row, _) => {
                let keep = self.kept(sheet, self.context);
                if keep[row] {
                    return;
                }
                let from = (0..row).rev().find(|r| keep[*r]).map_or(0, |r| r + 1);
                let to = (row..keep.len()).find(|r| keep[*r]).unwrap_or(keep.len());
                self.unfolded.retain(|r| !(from..to).contains(r));
                self.all_open = false;
            }
        }
        self.layout(sheet);
    }

    /// Opens the fold at the cursor, or shows or hides the nodes of the row.
    pub fn toggle_details(&mut self, sheet: &Sheet) {
        match self.lines.get(self.cursor).copied() {
            Some(Line::Fold(..)) => return self.toggle_fold(sheet),
            Some(Line::Row(row) | Line::Node(row, _)) => {
                if !self.open.remove(&row) {
                    self.open.insert(row);
                }
            }
            None => return,
        }
        self.layout(sheet);
    }

    /// Opens or closes all folds.
    pub fn toggle_all(&mut self, sheet: &Sheet) {
        self.all_open = !self.all_open;
        self.unfolded.clear();
        self.layout(sheet);
    }

    /// Rows that no fold may hide.
    fn kept(&self, sheet: &Sheet, context: usize) -> Vec<bool> {
        let count = sheet.rows.len();
        if context >= count {
            return vec![true; count];
        }
        let mut keep = vec![false; count];
        for (r, row) in sheet.rows.iter().enumerate() {
            let ends = r == 0 || r + 1 == count;
            let calls = row.sign.calls();
            if ends || calls || !row.said.is_empty() || self.bookmarks.contains(&r) {
                let around = if calls { context } else { 0 };
                for k in &mut keep[r.saturating_sub(around)..(r + around + 1).min(count)] {
                    *k = true;
                }
            }
        }
        keep
    }

    /// Whether a row shows its nodes.
    pub fn is_open(&self, row: usize) -> bool {
        self.open.contains(&row)
    }

    /// Moves the window so that the cursor is in it, a few lines from its edge where possible.
    pub fn scroll(&mut self, height: usize) {
        let margin = 3.min(height.saturating_sub(1) / 2);
        let last = self.lines.len().saturating_sub(height);
        let low = (self.cursor + margin + 1).saturating_sub(height);
        let high = self.cursor.saturating_sub(margin);
        self.top = self.top.clamp(low.min(high), high).min(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Sign;
    use crate::session::{Cell, Row};

    fn sheet(signs: &[Sign]) -> Sheet {
        let cell = || Some(Cell { ops: vec![crate::run::OpId(0), crate::run::OpId(1)], ..Cell::default() });
        let row = |sign: &Sign| Row {
            region: Some(0),
            source: cell(),
            target: cell(),
            sign: *sign,
            isolated: None,
            accumulated: None,
            layout: String::new(),
            why: String::new(),
            said: Vec::new(),
        };
        Sheet {
            aligned: true,
            rows: signs.iter().map(row).collect(),
            source: None,
            target: None,
            floor: None,
            precision: crate::align::Precision::Float,
        }
    }

    fn signs() -> Vec<Sign> {
        let mut s = vec![Sign::Clean; 30];
        s[15] = Sign::Faulty;
        s
    }

    #[test]
    fn clean_runs_fold_and_the_fault_keeps_its_neighbours() {
        let mut g = Graph::default();
        g.layout(&sheet(&signs()));
        let lines = [
            Line::Row(0),
            Line::Fold(1, 12),
            Line::Row(13),
            Line::Row(14),
            Line::Row(15),
            Line::Row(16),
            Line::Row(17),
            Line::Fold(18, 28),
            Line::Row(29),
        ];
        assert_eq!(g.lines, lines);
    }

    #[test]
    fn going_to_a_folded_row_opens_its_fold_and_folding_closes_it() {
        let (mut g, s) = (Graph::default(), sheet(&signs()));
        g.layout(&s);
        g.go_to(5, &s);
        assert_eq!(g.lines[g.cursor], Line::Row(5));
        assert!(g.lines.contains(&Line::Fold(18, 28)));
        g.toggle_fold(&s);
        assert_eq!(g.lines[g.cursor], Line::Fold(1, 12));
        g.toggle_all(&s);
        assert_eq!(g.lines.len(), 30);
    }

    #[test]
    fn a_row_opens_into_its_nodes() {
        let (mut g, s) = (Graph::default(), sheet(&signs()));
        g.layout(&s);
        g.go_to(15, &s);
        g.toggle_details(&s);
        assert_eq!(g.lines[g.cursor..g.cursor + 4], [Line::Row(15), Line::Node(15, 0), Line::Node(15, 1), Line::Row(16)]);
        g.cursor += 2;
        g.toggle_details(&s);
        assert_eq!(g.lines[g.cursor], Line::Row(15));
        assert!(!g.is_open(15));
    }

    #[test]
    fn the_window_follows_the_cursor_and_survives_any_height() {
        let (mut g, s) = (Graph::default(), sheet(&signs()));
        g.all_open = true;
        g.layout(&s);
        for height in [0, 1, 2, 5, 10, 50] {
            for cursor in 0..g.lines.len() {
                g.cursor = cursor;
                g.scroll(height);
                assert!(height == 0 || (g.top..g.top + height).contains(&cursor), "{height} {cursor} {}", g.top);
            }
        }
    }
}
