//! Changes of a recipe: the keys that change, in TOML, so that numbers keep every bit and an earlier change can be taken back alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

/// What changes in a recipe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeChange {
    /// Keys with their new values, as TOML.
    pub set: String,
    /// Keys that go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
}

impl RecipeChange {
    /// From the text of a recipe before and after.
    ///
    /// # Errors
    /// In words, when one is no TOML.
    pub fn between(before: &str, after: &str) -> Result<Self, String> {
        let (before, mut after) = (table(before)?, table(after)?);
        let unset = before.keys().filter(|k| !after.contains_key(*k)).cloned().collect();
        after.retain(|key, value| before.get(key) != Some(value));
        Ok(Self { set: after.to_string(), unset })
    }

    /// The recipe with the change made.
    ///
    /// # Errors
    /// In words, when recipe or change are no TOML.
    pub fn apply(&self, recipe: &str) -> Result<String, String> {
        let mut out = table(recipe)?;
        self.unset.iter().for_each(|key| drop(out.remove(key)));
        out.extend(table(&self.set)?);
        Ok(out.to_string())
    }
}

/// Whether two texts say the same recipe.
pub(super) fn same(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => matches!((table(a), table(b)), (Ok(a), Ok(b)) if a == b),
        (a, b) => a == b,
    }
}

fn table(text: &str) -> Result<Table, String> {
    text.parse().map_err(|e: toml::de::Error| format!("the recipe is no TOML: {}", e.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_holds_what_changes_and_nothing_else() {
        let before = "resize = \"shorter-side\"\nresize_to = 36\nscale = 255.0\nmean = [0.485, 0.456, 0.406]\n";
        let after = "resize = \"squash\"\nscale = 255.0\nmean = [0.1, 0.30000000000000004, 123.67500305175781]\n";
        let change = RecipeChange::between(before, after).unwrap();
        assert_eq!(change.unset, ["resize_to"]);
        assert!(!change.set.contains("scale"), "{}", change.set);
        let json = serde_json::to_string(&change).unwrap();
        let again: RecipeChange = serde_json::from_str(&json).unwrap();
        assert!(same(Some(&again.apply(before).unwrap()), Some(after)));
        assert!(!same(Some(before), Some(after)) && !same(None, Some(after)) && same(None, None));
    }

    #[test]
    fn an_earlier_change_can_be_left_out() {
        let start = "channels = \"rgb\"\nscale = 255.0\n";
        let bgr = RecipeChange::between(start, "channels = \"bgr\"\nscale = 255.0\n").unwrap();
        let scaled = RecipeChange::between("channels = \"bgr\"\nscale = 255.0\n", "channels = \"bgr\"\nscale = 1.0\n").unwrap();
        let both = scaled.apply(&bgr.apply(start).unwrap()).unwrap();
        assert!(same(Some(&both), Some("scale = 1.0\nchannels = \"bgr\"")));
        assert!(same(Some(&scaled.apply(start).unwrap()), Some("scale = 1.0\nchannels = \"rgb\"")));
        assert!(RecipeChange::between("=", start).is_err() && bgr.apply("[").is_err());
    }
}
