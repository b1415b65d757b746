//! What a person says of pairs: that two values are one, or none. Faults are looked for again with it.

use super::engine::Core;
use super::sheet::{Cell, Said, shapes_of};
use super::snapshot::Tone;
use super::words;
use crate::align::Hints;
use crate::run::Network;
use std::sync::Arc;

impl Core {
    /// Says of two values that they are a pair, or none, and looks again.
    pub fn pair_up(&mut self, source: usize, target: usize, pair: bool) {
        let Some(sheet) = &self.snap.sheet else { return };
        let name = |network: &Option<Arc<Network>>, cell: Option<&Cell>| {
            Some(network.as_ref()?.model().index().name(*cell?.makes.last()?).to_string())
        };
        let mine = name(&sheet.target, sheet.rows.get(target).and_then(|r| r.target.as_ref()));
        let theirs = name(&sheet.source, sheet.rows.get(source).and_then(|r| r.source.as_ref()));
        let (Some(mine), Some(theirs)) = (mine, theirs) else {
            return self.fail("nothing flows out of one of the two sides there");
        };
        if let (true, Some((expected, made))) = (pair, self.shapes_of_pair(source, target))
            && expected.iter().product::<usize>() != made.iter().product::<usize>()
        {
            let [expected, made] = [expected, made].map(|s| words::shape(&s));
            return self.fail(format!("no pair: the source has {expected} there and the target {made}, another number of elements"));
        }
        let said = Said { pair, source: theirs, target: mine };
        let text = said.to_string();
        self.say_of_pairs(text, |all| {
            // A value of the target has one partner at most, and the last word on a pair counts.
            all.retain(|s| s.target != said.target || (s.source != said.source && !(s.pair && pair)));
            all.push(said);
        });
    }

    /// The shapes of what flows out of the source's side of one row and the target's side of another, where both ran.
    fn shapes_of_pair(&self, source: usize, target: usize) -> Option<(Vec<usize>, Vec<usize>)> {
        let (sheet, open) = (self.snap.sheet.as_ref()?, self.open.as_ref()?);
        let theirs = sheet.rows.get(source)?.source.as_ref()?.makes.last()?;
        let mine = sheet.rows.get(target)?.target.as_ref()?.makes.last()?;
        let made = shapes_of(sheet.target.as_ref()?, open.bench.as_ref()?.target_shapes());
        Some((open.source_side.as_ref()?.shapes().get(theirs)?.clone(), made.get(mine)?.clone()))
    }

    /// Takes back what was said of a row's pairs, and looks again.
    pub fn unpair(&mut self, row: usize) {
        let here = self.snap.sheet.as_ref().and_then(|s| s.rows.get(row)).map(|r| r.said.clone()).unwrap_or_default();
        let texts: Vec<String> = here.iter().map(ToString::to_string).collect();
        if !here.is_empty() {
            self.say_of_pairs(format!("taken back: {}", texts.join("; ")), |all| all.retain(|s| !here.contains(s)));
        }
    }

    fn say_of_pairs(&mut self, text: String, change: impl FnOnce(&mut Vec<Said>)) {
        let Some(job) = self.open.as_mut().and_then(|o| o.job.as_mut()) else { return };
        let mut all = self.snap.said.to_vec();
        change(&mut all);
        let of = |pair: bool| all.iter().filter(move |s| s.pair == pair).map(|s| (s.target.clone(), s.source.clone()));
        job.options.localize.hints = Hints { pins: of(true).collect(), forbidden: of(false).collect() };
        self.snap.said = Arc::new(all);
        self.log(Tone::Plain, text);
        self.look();
    }
}
