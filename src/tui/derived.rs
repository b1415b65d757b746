//! What the screen needs to know of a sheet and takes a moment to work out: rails, links, text to search. Made once for each sheet,
//! off the thread that draws.

use super::lanes::{Rail, Step, rails};
use crate::localize::Findings;
use crate::session::{Cell, Sheet, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;

/// Made from one sheet.
#[derive(Debug, Default)]
pub struct Derived {
    /// Rails of the source and of the target, one a row.
    pub rails: [Vec<Rail>; 2],
    /// Lower-case text of each row: operators, names, verdict, kinds.
    pub haystack: Vec<String>,
    /// Rows that make what this row reads.
    pub up: Vec<Vec<usize>>,
    /// Rows that read what this row makes.
    pub down: Vec<Vec<usize>>,
    /// Names of the nodes of each row, for either side.
    pub names: [Vec<String>; 2],
}

impl Derived {
    /// Works it out.
    pub fn new(sheet: &Sheet, findings: Option<&Findings>) -> Self {
        let sides = |right: bool| sheet.rows.iter().map(move |r| if right { r.target.as_ref() } else { r.source.as_ref() });
        let step = |cell: Option<&Cell>| match cell {
            None => Step { gap: true, ..Step::default() },
            Some(c) => Step { reads: c.reads.iter().map(|v| v.0).collect(), makes: c.makes.iter().map(|v| v.0).collect(), gap: false },
        };
        let rail = |right: bool| rails(&sides(right).map(step).collect::<Vec<_>>());
        let name = |right: bool| -> Vec<String> {
            let network = if right { &sheet.target } else { &sheet.source };
            let named = sides(right).map(|cell| match (cell, network) {
                (Some(c), Some(n)) if !c.ops.is_empty() => {
                    let labels: Vec<_> = c.ops.iter().map(|id| crate::model::harmless(n.label(*id))).collect();
                    labels.join("  ")
                }
                (Some(c), _) => c.text.clone(),
                _ => String::new(),
            });
            named.collect()
        };
        let names = [name(false), name(true)];
        let mut haystack: Vec<String> = sheet
            .rows
            .iter()
            .enumerate()
            .map(|(i, r)| {
                let text = |c: &Option<Cell>| c.as_ref().map(|c| c.text.as_str()).unwrap_or_default().to_string();
                format!("{} {} {} {} {} {}", text(&r.source), text(&r.target), names[0][i], names[1][i], r.sign.name(), r.why)
                    .to_lowercase()
            })
            .collect();
        for (text, row) in haystack.iter_mut().zip(&sheet.rows) {
            row.said.iter().for_each(|s| text.push_str(&format!(" {s}").to_lowercase()));
        }
        if let Some(findings) = findings {
            for suspect in &findings.suspects {
                let row = suspect.region.map_or(Some(0), |r| sheet.row_of_region(r));
                if let Some(text) = row.and_then(|r| haystack.get_mut(r)) {
                    let kind = suspect.kind.map(|k| format!("{} {}", k.id(), k.name())).unwrap_or_default();
                    text.push_str(&format!(" {kind} {}", suspect.category.name()).to_lowercase());
                }
            }
        }
        let (up, down) = links(sheet);
        Self { rails: [rail(false), rail(true)], haystack, up, down, names }
    }
}

/// Who makes and who reads, by row: on the target's side, and on the source's where the target has a gap.
fn links(sheet: &Sheet) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let count = sheet.rows.len();
    let (mut up, mut down) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for right in [true, false] {
        let cell = |row: usize| if right { sheet.rows[row].target.as_ref() } else { sheet.rows[row].source.as_ref() };
        let mut maker = HashMap::new();
        for row in 0..count {
            for v in cell(row).into_iter().flat_map(|c| &c.makes) {
                maker.insert(*v, row);
            }
        }
        for (row, makers) in up.iter_mut().enumerate() {
            let skip = !right && sheet.rows[row].target.is_some();
            for from in cell(row).into_iter().flat_map(|c| &c.reads).filter_map(|v| maker.get(v)) {
                if !skip && *from != row && !makers.contains(from) {
                    makers.push(*from);
                }
                let skip = !right && sheet.rows[*from].target.is_some();
                if !skip && *from != row && !down[*from].contains(&row) {
                    down[*from].push(row);
                }
            }
        }
    }
    (up, down)
}

/// A snapshot with what was worked out of its sheet.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// The engine's state.
    pub snapshot: Arc<Snapshot>,
    /// Worked out of its sheet.
    pub derived: Arc<Derived>,
}

impl Prepared {
    /// Takes over what was worked out before when the sheet is still the same.
    pub fn new(snapshot: Arc<Snapshot>, before: &Self) -> Self {
        let same = match (&snapshot.sheet, &before.snapshot.sheet) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, _) => true,
            _ => false,
        };
        let derived = match &snapshot.sheet {
            _ if same => before.derived.clone(),
            Some(sheet) => Arc::new(Derived::new(sheet, snapshot.findings.as_deref())),
            None => Arc::default(),
        };
        Self { snapshot, derived }
    }
}
