//! What this host offers, what is missing, and what that costs.
//!
//! In: facts about the kernel and this process ([`Facts`]), and what the self-test showed. Out: one line
//! for each. The checks are pure; only [`Facts::read`] looks at the host.

mod capture;
mod checks;
mod facts;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::{
    capture::{Attached, capture, tls_processes},
    checks::host,
    facts::Facts,
};

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What is lost, and what to do.
    pub advice: Option<String>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Fine,
    /// wstap works, and something is lost.
    Degraded,
    /// wstap does not work without it.
    Missing,
    /// It could not be found out.
    Unknown,
}

impl Status {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

impl Check {
    fn fine(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Fine, found: found.into(), advice: None }
    }

    fn not_fine(
        name: &'static str,
        status: Status,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { name, status, found: found.into(), advice: Some(advice.into()) }
    }
}
