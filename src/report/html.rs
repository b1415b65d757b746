//! A page that stands alone: pictures and styles are in it, nothing is loaded, no script runs.

use super::ReportError;
use super::facts::{ImageLine, Look, Report};
use super::markdown::{short, standing};
use super::strip::{Bar, bars};
use crate::model::harmless;
use minijinja::{AutoEscape, Environment, context};
use serde_json::Value as Json;

/// Images whose pictures are shown.
const PICTURES: usize = 48;
/// Images beyond those that are named.
const NAMES: usize = 500;
/// Regions that are listed under a strip.
const REGIONS: usize = 40;

/// The page.
///
/// # Errors
/// When the template does not fit the report: a mistake of this program.
pub fn html(report: &Report) -> Result<String, ReportError> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.add_filter("short", |hash: String| short(&hash).to_string());
    env.add_filter("file", |path: String| path.rsplit(['/', '\\']).next().unwrap_or_default().to_string());
    env.add_filter("moment", |at: String| at.replace('T', " ").replace(":00Z", "").trim_end_matches('Z').to_string());
    env.add_filter("figure", |value: minijinja::Value| match f64::try_from(value.clone()) {
        Ok(number) => crate::audit::Figure(number as f32).to_string(),
        // What is no number is infinite or none.
        Err(_) => "not measured".into(),
    });
    env.add_filter("standing", |word: String| {
        use super::facts::Standing::{Accepted, Open, Rejected, Skipped, Undone, Unfinished};
        let all = [Accepted, Rejected, Skipped, Undone, Unfinished, Open];
        let named = |s: &super::facts::Standing| serde_json::to_value(s).is_ok_and(|v| v == word.as_str());
        all.into_iter().find(named).map(standing).unwrap_or_default()
    });
    env.add_template("page", include_str!("page.html"))?;
    let json = serde_json::to_value(report).map(clean).map_err(|e| ReportError::Format(e.to_string()))?;
    let looks: Vec<&Look> = report.looks.iter().filter(|l| !l.regions.is_empty()).collect();
    let last = looks.len().saturating_sub(1);
    let strips: Vec<_> = looks.iter().enumerate().filter(|(i, _)| *i == 0 || *i == last).map(|(i, l)| strip(i, last, l)).collect();
    let (shown, named) = gallery(&report.images);
    let (pictures, names) =
        (clean(serde_json::to_value(shown).unwrap_or_default()), clean(serde_json::to_value(named).unwrap_or_default()));
    let page = context! {
        r => json,
        headline => report.headline(),
        good => report.whole && report.after.is_some_and(|a| a.flips == 0),
        strips => strips,
        steps => steps(report),
        pictures => pictures,
        names => names,
        more => report.images.len().saturating_sub(PICTURES + NAMES),
        left => report.left().count(),
    };
    Ok(env.get_template("page")?.render(page)?)
}

/// All text of a value made harmless.
fn clean(json: Json) -> Json {
    match json {
        Json::String(s) => Json::String(harmless(&s).into_owned()),
        Json::Array(all) => all.into_iter().map(clean).collect(),
        Json::Object(map) => map.into_iter().map(|(k, v)| (harmless(&k).into_owned(), clean(v))).collect(),
        other => other,
    }
}

fn strip(at: usize, last: usize, look: &Look) -> minijinja::Value {
    let title = match (at, last) {
        (_, 0) => "Layers",
        (0, _) => "Layers at first",
        _ => "Layers at the end",
    };
    let bars = bars(&look.regions);
    let step = 1000.0 / bars.len().max(1) as f32;
    let drawn: Vec<_> = bars
        .iter()
        .enumerate()
        .map(|(i, Bar { height, verdict, title })| {
            let (x, h) = (i as f32 * step, height * 100.0);
            context! { x => format!("{x:.2}"), w => format!("{:.2}", (step * 0.86).max(0.8)), y => format!("{:.1}", 100.0 - h), h => format!("{h:.1}"), verdict, title }
        })
        .collect();
    let bad: Vec<Json> = look
        .regions
        .iter()
        .filter(|r| r.verdict != "clean" && !r.target.is_empty())
        .take(REGIONS)
        .map(|r| clean(serde_json::to_value(r).unwrap_or_default()))
        .collect();
    let all = look.regions.iter().filter(|r| r.verdict != "clean" && !r.target.is_empty()).count();
    let notes: Vec<String> = look.notes.iter().map(|n| harmless(n).into_owned()).collect();
    let figure = |f: Option<crate::audit::Figure>| f.map(|f| f.to_string());
    context! {
        title, bars => drawn, bad, more => all.saturating_sub(REGIONS), count => look.regions.len(), notes,
        floor => figure(look.floor), threshold => figure(look.threshold),
    }
}

/// Flips over the evaluations, as columns.
fn steps(report: &Report) -> Vec<minijinja::Value> {
    let most = report.evaluations.iter().map(|e| e.count.flips).max().unwrap_or(0).max(1);
    let column = |e: &super::facts::EvaluationLine| {
        let share = 100.0 * e.count.flips as f32 / most as f32;
        context! { seq => e.seq, flips => e.count.flips, of => e.count.of, runs => e.does_not_run.is_none(), share => format!("{share:.1}"), mended => e.mended.len(), broken => e.broken.len() }
    };
    report.evaluations.iter().map(column).collect()
}

/// Images with a picture first, then those that are only named; each with its address for the page.
fn gallery(images: &[ImageLine]) -> (Vec<ImageLine>, Vec<ImageLine>) {
    let with = |i: &ImageLine| ImageLine { picture: i.picture.as_deref().and_then(address), ..i.clone() };
    let all: Vec<ImageLine> = images.iter().map(with).collect();
    let shown: Vec<ImageLine> = all.iter().filter(|i| i.picture.is_some()).take(PICTURES).cloned().collect();
    let named = all.into_iter().filter(|i| !shown.iter().any(|s| s.image == i.image)).take(NAMES).collect();
    (shown, named)
}

/// A picture in base64 as an address that the page holds itself; none for what is no picture.
fn address(base64: &str) -> Option<String> {
    let kind = match base64 {
        b if b.starts_with("iVBORw0KGgo") => "png",
        b if b.starts_with("/9j/") => "jpeg",
        _ => return None,
    };
    let plain = base64.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
    plain.then(|| format!("data:image/{kind};base64,{base64}"))
}
