//! The origin policy: which origins are our own.
//!
//! In: regular expressions, matched against the whole normalised origin. Out: [`Policy`] for an
//! origin. It judges nothing about the handshake: it only says whose page it was.

use regex::RegexSet;

use super::ConfigError;
use crate::event::{Policy, normalised_origin};

/// Origins that nobody owns (RFC 2606 reserves `.invalid`): a pattern that matches one of them was
/// not written for one's own hosts.
const NOBODYS: &[&str] =
    &["https://q7x.invalid", "http://q7x.invalid", "https://a.b.q7x.invalid:8443"];

/// Which origins are our own; empty when that was not configured.
#[derive(Clone, Debug, Default)]
pub struct OriginPolicy {
    own: RegexSet,
    patterns: Vec<String>,
}

impl OriginPolicy {
    /// Compiles the patterns; each must match the whole origin.
    pub fn new(patterns: &[String]) -> Result<Self, ConfigError> {
        for pattern in patterns {
            let alone = compile(std::slice::from_ref(pattern)).map_err(|error| {
                ConfigError::BadPattern { pattern: pattern.clone(), reason: brief(&error) }
            })?;
            if NOBODYS.iter().any(|origin| alone.is_match(origin)) {
                return Err(ConfigError::MatchesEverything { pattern: pattern.clone() });
            }
        }
        compile(patterns).map(|own| Self { own, patterns: patterns.to_vec() }).map_err(|error| {
            ConfigError::BadPattern { pattern: patterns.join(" "), reason: brief(&error) }
        })
    }

    /// The patterns as they were given.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// What the policy says of a request's `Origin`. An absent origin is no page's: it is neither
    /// allowed nor foreign.
    pub fn judge(&self, origin: Option<&str>) -> Policy {
        match origin {
            Some(origin) if !self.own.is_empty() => {
                let normalised = normalised_origin(origin);
                if self.own.is_match(normalised.as_deref().unwrap_or(origin)) {
                    Policy::Allowed
                } else {
                    Policy::Foreign
                }
            }
            _ => Policy::None,
        }
    }
}

fn compile(patterns: &[String]) -> Result<RegexSet, regex::Error> {
    RegexSet::new(patterns.iter().map(|pattern| format!("^(?:{pattern})$")))
}

/// The last line of the error: what is wrong, without the picture of where.
fn brief(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}
