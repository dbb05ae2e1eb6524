//! The configuration file: TOML whose keys are the names of the flags.
//!
//! In: a path. Out: [`ServeOptions`], or an error with the line and, for a key that does not exist,
//! the nearest one that does.

use std::{io, path::Path};

use clap::{Args, Command};
use serde::de::DeserializeOwned;
use toml::de::DeTable;

use super::{CaptureOptions, ConfigError, DEFAULT_FILE, JudgeOptions, ServeOptions};

/// How alike two keys must be (0 to 1) for one to be suggested for the other.
const ALIKE: f64 = 0.6;

/// Reads `asked`, or the default file when it exists.
pub(super) fn read(asked: Option<&Path>) -> Result<ServeOptions, ConfigError> {
    let path = asked.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &path.display().to_string()),
        Err(error) if asked.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Ok(ServeOptions::default())
        }
        Err(source) => Err(ConfigError::Unreadable { path: path.display().to_string(), source }),
    }
}

/// Parses the text of a configuration file; `path` is for messages only.
pub(super) fn parse(text: &str, path: &str) -> Result<ServeOptions, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| invalid(&error, text, path))?;
    let known = keys();
    for key in table.get_ref().keys() {
        if !known.iter().any(|have| *have == **key.get_ref()) {
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                line: line(text, key.span().start),
                key: key.get_ref().escape_debug().to_string(),
                suggestion: suggestion(key.get_ref(), &known),
            });
        }
    }
    let judge = section::<JudgeOptions>(text, path)?;
    let capture = CaptureOptions { judge, ..section(text, path)? };
    Ok(ServeOptions { capture, sinks: section(text, path)?, ..section(text, path)? })
}

/// The fields of `T` that the file holds. Keys that belong to another part were checked before.
fn section<T: DeserializeOwned>(text: &str, path: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| invalid(&error, text, path))
}

/// The keys that exist: the long names of the flags.
fn keys() -> Vec<String> {
    ServeOptions::augment_args(Command::new("wstap"))
        .get_arguments()
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .collect()
}

fn suggestion(key: &str, known: &[String]) -> String {
    known
        .iter()
        .map(|have| (strsim::jaro_winkler(have, &key.replace('_', "-")), have))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(score, _)| *score >= ALIKE)
        .map_or_else(
            || format!("the keys are {}", known.join(", ")),
            |(_, nearest)| format!("did you mean `{nearest}`?"),
        )
}

fn invalid(error: &toml::de::Error, text: &str, path: &str) -> ConfigError {
    ConfigError::Invalid {
        path: path.to_owned(),
        line: line(text, error.span().map_or(0, |span| span.start)),
        message: error.message().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// The line, counted from 1, in which the byte at `offset` stands.
fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
