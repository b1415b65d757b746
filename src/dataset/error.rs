//! What can be wrong with a case, a recipe or an image.

use std::path::PathBuf;

/// A case, recipe or image that cannot be used. Messages name the file, and the key or input.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DatasetError {
    /// A case file with a syntax error, an unknown key or a missing entry.
    #[error("{}: {why}", .path.display())]
    Case {
        /// The case file.
        path: PathBuf,
        /// What is wrong, where.
        why: String,
    },
    /// Neither the case file nor a flag says something that is needed.
    #[error("{0}")]
    Missing(String),
    /// A recipe that contradicts itself or the picture.
    #[error("recipe: {0}")]
    Recipe(String),
    /// One image that cannot be used; the others can.
    #[error("{}: {why}", .path.display())]
    Image {
        /// The image file, or the tensor file with an index.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A folder, list or tensor file that cannot be read or holds no image.
    #[error("{}: {why}", .path.display())]
    Images {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// What the recipe makes is not what the model's input is declared to be.
    #[error("input '{input}': {why}")]
    Input {
        /// Name of the model's input.
        input: String,
        /// What does not fit.
        why: String,
    },
}

/// The known word that is nearest to a misspelt one, if any is near.
pub fn nearest_word<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|k| (strsim::damerau_levenshtein(word, k), k)).min_by_key(|(d, _)| *d)?;
    (near.0 <= (word.chars().count().max(near.1.chars().count()) / 2).max(1)).then_some(near.1)
}

/// A TOML error on one line: where, what, and for an unknown key or word the nearest known one.
pub fn explain_toml(error: &toml::de::Error, text: &str) -> String {
    let place = error
        .span()
        .and_then(|s| text.get(..s.start))
        .map(|before| format!("line {}: ", before.matches('\n').count() + 1))
        .unwrap_or_default();
    let message = match error.message().lines().next().unwrap_or_default() {
        // The one list of fixed length that there is.
        wrong if wrong.ends_with("an array of length 2") => "two numbers are wanted, height and width: size = [224, 224]",
        message => message,
    };
    let mut words = message.split('`').skip(1).step_by(2);
    let near = match (message.starts_with("unknown "), words.next()) {
        (true, Some(word)) => nearest_word(word, words).map(|n| format!("; did you mean '{n}'?")),
        _ => None,
    };
    format!("{place}{}{}", message.replace('`', "'"), near.unwrap_or_default())
}
