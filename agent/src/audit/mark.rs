//! The mark that every handshake of an audit carries, by which it is found behind the chain.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
};

pub use crate::http::mark::{FIELD, FIELD_LOWER, name};

/// The marks of one run: a name that the user may choose, and what tells this run from others.
#[derive(Clone, Debug)]
pub struct Run {
    name: String,
    run: u32,
}

impl Run {
    /// A run called `name`.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), run: random() as u32 }
    }

    /// The mark of a probe: `NAME.RUN.PROBE`.
    pub fn of(&self, probe: impl fmt::Display) -> String {
        format!("{}.{:08x}.{probe}", self.name, self.run)
    }

    /// Whether `mark` is one of this run's.
    pub fn made(&self, mark: &str) -> bool {
        mark.strip_prefix(self.name.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|rest| rest.starts_with(&format!("{:08x}.", self.run)))
    }
}

/// 64 bits that nobody else has: from the process's random hash keys, which the system gave.
pub fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::mark::is_of;

    #[test]
    fn a_run_knows_its_own_marks_only() {
        let (one, other) = (Run::new("nightly"), Run { name: "nightly".into(), run: 1 });
        assert!(one.made(&one.of("origin/null")));
        assert!(!other.made(&one.of("origin/null")));
        assert!(is_of(&one.of("x"), "nightly") && !is_of(&one.of("x"), "night"));
        assert!(name("a.b").is_err() && name("").is_err() && name("nightly-2").is_ok());
    }
}
