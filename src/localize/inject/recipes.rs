//! Faulty recipes: the graph is right, what it is fed is not.

use super::{Truth, mixed, pick};
use crate::dataset::{Channels, Filter, Recipe, Resize};
use crate::localize::Kind;
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// A faulty recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct InjectedRecipe {
    /// The recipe with the fault in it.
    pub recipe: Recipe,
    /// What was done.
    pub truth: Truth,
}

/// Puts a fault of a `PP` kind into a recipe, the same for the same seed. `None` for kinds of a graph, and where the recipe has
/// nothing that could be wrong in this way.
pub fn inject_recipe(recipe: &Recipe, kind: Kind, seed: u64) -> Option<InjectedRecipe> {
    let mut rng = SmallRng::seed_from_u64(mixed(seed, kind.id()));
    let mut new = recipe.clone();
    let (note, also): (String, &[Kind]) = match kind {
        Kind::PpScale => (scale(&mut new, &mut rng)?, &[Kind::PpNorm]),
        Kind::PpNorm => (norm(&mut new, &mut rng)?, &[Kind::PpScale]),
        Kind::PpChannels => (channels(&mut new)?, &[]),
        Kind::PpResize => (filter(&mut new, &mut rng)?, &[]),
        Kind::PpCrop => (crop(&mut new, &mut rng)?, &[]),
        _ => return None,
    };
    let made = new != *recipe && new.validate().is_ok();
    made.then(|| InjectedRecipe { recipe: new, truth: Truth::of_recipe(kind, format!("recipe: {note}"), also) })
}

fn scale(recipe: &mut Recipe, rng: &mut SmallRng) -> Option<String> {
    let now = recipe.scale;
    let others: &[f64] = if now == 1.0 { &[255.0, 127.5] } else { &[1.0, now * now, now * 2.0] };
    recipe.scale = pick(rng, others)?;
    Some(match recipe.scale {
        1.0 => "scale left out".into(),
        new => format!("scale {new} in place of {now}"),
    })
}

fn norm(recipe: &mut Recipe, rng: &mut SmallRng) -> Option<String> {
    let plain = |r: &Recipe| r.mean.iter().all(|m| *m == 0.0) && r.std.iter().all(|s| *s == 1.0);
    let ways: [fn(&mut Recipe) -> &'static str; 4] = [
        |r| {
            r.mean.fill(0.0);
            r.std.fill(1.0);
            "mean and std left out"
        },
        |r| {
            r.mean.fill(0.0);
            "mean left out"
        },
        |r| {
            r.std.fill(1.0);
            "std left out"
        },
        |r| {
            r.mean.reverse();
            r.std.reverse();
            "mean and std in the other channel order"
        },
    ];
    if plain(recipe) {
        // Of the range that the values have after the division.
        let half = 127.5 / recipe.scale;
        (recipe.mean, recipe.std) = (vec![half; recipe.mean.len()], vec![half; recipe.std.len()]);
        return Some(format!("mean and std {half} added"));
    }
    let felt: Vec<_> = ways.into_iter().filter(|way| changed(recipe, *way) != *recipe).collect();
    Some(pick(rng, &felt)?(recipe).to_string())
}

fn changed(recipe: &Recipe, way: fn(&mut Recipe) -> &'static str) -> Recipe {
    let mut out = recipe.clone();
    way(&mut out);
    out
}

fn channels(recipe: &mut Recipe) -> Option<String> {
    recipe.channels = match recipe.channels {
        Channels::Rgb => Channels::Bgr,
        Channels::Bgr => Channels::Rgb,
        Channels::Gray => return None,
    };
    Some("channels exchanged".into())
}

fn filter(recipe: &mut Recipe, rng: &mut SmallRng) -> Option<String> {
    if recipe.resize == Resize::None {
        return None;
    }
    let now = recipe.filter;
    let others: Vec<Filter> = Filter::ALL.iter().copied().filter(|f| *f != now).collect();
    recipe.filter = pick(rng, &others)?;
    Some(format!("filter {} in place of {now}", recipe.filter))
}

fn crop(recipe: &mut Recipe, rng: &mut SmallRng) -> Option<String> {
    if recipe.resize == Resize::None {
        return None;
    }
    let now = recipe.resize;
    let others: Vec<Resize> = [Resize::Squash, Resize::ShorterSide, Resize::Letterbox].into_iter().filter(|r| *r != now).collect();
    recipe.resize = pick(rng, &others)?;
    if recipe.resize != Resize::ShorterSide {
        recipe.resize_to = None;
    }
    Some(format!("resize {} in place of {now}", recipe.resize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Recipe {
        Recipe::from_toml(text).expect("a recipe")
    }

    #[test]
    fn each_kind_changes_its_own_keys() {
        let base = recipe(
            "resize = \"shorter-side\"\nresize_to = 40\nsize = [32, 32]\nscale = 255.0\nmean = [0.4, 0.5, 0.6]\nstd = [0.2, 0.3, 0.2]",
        );
        for seed in 0..20 {
            for kind in Kind::ALL {
                let Some(made) = inject_recipe(&base, *kind, seed) else {
                    assert!(kind.category() != crate::localize::Category::PP || *kind == Kind::PpBaked, "{kind} fits any recipe");
                    continue;
                };
                let r = &made.recipe;
                assert_eq!(made.truth.kind, *kind);
                assert_eq!(*kind == Kind::PpScale, r.scale != base.scale);
                assert_eq!(*kind == Kind::PpNorm, r.mean != base.mean || r.std != base.std);
                assert_eq!(*kind == Kind::PpChannels, r.channels != base.channels);
                assert_eq!(*kind == Kind::PpResize, r.filter != base.filter);
                assert_eq!(*kind == Kind::PpCrop, r.resize != base.resize);
                assert_eq!(inject_recipe(&base, *kind, seed).as_ref(), Some(&made), "the same seed, the same fault");
            }
        }
    }

    #[test]
    fn a_plain_recipe_gets_what_it_does_not_need() {
        let made = inject_recipe(&recipe("size = [8, 8]"), Kind::PpNorm, 0).expect("a fault");
        assert_eq!((made.recipe.mean[0], made.recipe.std[2]), (127.5, 127.5));
        assert!(inject_recipe(&recipe("resize = \"none\""), Kind::PpResize, 0).is_none(), "nothing is resized");
        assert!(inject_recipe(&recipe("channels = \"gray\""), Kind::PpChannels, 0).is_none(), "one channel has no order");
    }
}
