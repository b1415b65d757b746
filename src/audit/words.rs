//! Records in words, for people.

use super::digest::short;
use super::{By, Decision, Evaluated, Event, Evidence, Figure, ModelDigest, Opened, Proposed, Subset};
use std::fmt;

/// Images that are named in one line.
const NAMED: usize = 5;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(o) => opened(f, o),
            Self::Evaluated(e) => evaluated(f, e),
            Self::Localized(l) => {
                write!(f, "looked into: {}; floor {}, suspicious above {}", l.outcome, l.floor, l.threshold)?;
                l.notes.iter().try_for_each(|note| write!(f, "; {note}"))
            }
            Self::Suspect(s) => {
                let name = s.fault.map_or_else(|| s.category.0.id(), |k| k.0.id());
                write!(f, "suspect {} {name}: {}, isolated error {}", s.suspect, s.words, s.error)
            }
            Self::Proposed(p) => proposed(f, p),
            Self::Decided(d) => {
                let verb = match d.decision {
                    Decision::Accept => "accepted",
                    Decision::Reject => "rejected",
                    Decision::Skip => "skipped",
                };
                write!(f, "{verb} {} by {}{}", d.proposal, d.by, noted(&d.note))
            }
            Self::Applied(a) => write!(f, "made {}: {}", a.proposal, a.words),
            Self::Undone(u) => write!(f, "took back {} by {}{}", u.proposal, u.by, noted(&u.note)),
            Self::Saved(s) => write!(f, "saved {} with {}", s.model, count(s.edits.len(), "edit", "edits")),
            Self::Closed(c) => {
                let left = c.flips.map(|n| format!(", {} left", count(n, "flip", "flips"))).unwrap_or_default();
                write!(f, "closed{left}{}", noted(&c.words))
            }
        }
    }
}

fn opened(f: &mut fmt::Formatter<'_>, o: &Opened) -> fmt::Result {
    write!(f, "opened by {}: target {} against source {}, {}", o.program, o.target, o.source, count(o.images.count, "image", "images"))?;
    if let Some(case) = &o.case {
        write!(f, ", case {} ({})", case.path, short(&case.sha256))?;
    }
    for (key, value) in &o.options {
        write!(f, ", {key} {value}")?;
    }
    Ok(())
}

fn evaluated(f: &mut fmt::Formatter<'_>, e: &Evaluated) -> fmt::Result {
    let on = match e.on {
        Subset::All => "",
        Subset::Search => " of those that edits are chosen by",
        Subset::Holdout => " of those held back",
    };
    if let Some(why) = &e.does_not_run {
        write!(f, "the target does not run: {why}; ")?;
    }
    write!(f, "{} of {} flipped{on}", e.flips, count(e.images, "image", "images"))?;
    for (what, names) in [("mended", &e.mended), ("newly broken", &e.broken), ("unreadable", &e.unreadable)] {
        if !names.is_empty() {
            let more = if names.len() > NAMED { ", …" } else { "" };
            write!(f, "; {} {what}: {}{more}", names.len(), names[..names.len().min(NAMED)].join(", "))?;
        }
    }
    Ok(())
}

fn proposed(f: &mut fmt::Formatter<'_>, p: &Proposed) -> fmt::Result {
    let name = p.fault.map_or_else(|| p.category.0.id(), |k| k.0.id());
    write!(f, "proposed {} {name}: {}", p.proposal, p.words)?;
    let Evidence { error, flips, tried, parameters, bytes } = &p.evidence;
    // A recipe, or what does not run, has no error to begin with.
    if let Some((before, after)) = error.filter(|(before, _)| before.0.is_finite()) {
        write!(f, "; isolated error {before} → {after}")?;
    }
    if let Some((before, after)) = flips {
        let of = tried.map(|n| format!(" of {n}")).unwrap_or_default();
        write!(f, "; flips {before} → {after}{of}")?;
    }
    if let Some(n) = parameters {
        write!(f, "; {n} parameters")?;
    }
    if let Some(n) = bytes {
        write!(f, "; {n} bytes")?;
    }
    if !p.safe {
        write!(f, "; not local or not exact")?;
    }
    Ok(())
}

fn noted(note: &str) -> String {
    if note.is_empty() { String::new() } else { format!(": {note}") }
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

impl fmt::Display for ModelDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path, short(&self.sha256))
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(name) if name.is_empty() => f.write_str("a person"),
            Self::Person(name) => f.write_str(name),
            Self::Policy(policy) => write!(f, "policy {policy}"),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            v if !v.is_finite() => f.write_str("not measured"),
            0.0 => f.write_str("0"),
            v if (1e-3..1e5).contains(&v.abs()) => write!(f, "{v:.4}"),
            v => write!(f, "{v:.2e}"),
        }
    }
}
