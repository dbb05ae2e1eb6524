//! The configured origin policy: which origins are our own.

use regex::{Regex, RegexBuilder};

use super::{Policy, origin};
use crate::http::RequestHead;

/// The largest compiled pattern, in bytes; a larger one is refused at start.
const PATTERN_SIZE: usize = 1 << 20;

/// Origins that no page of anybody's can have (RFC 2606, RFC 6761): a pattern that matches all of a row
/// matches everything of that form.
const IMPROBABLE: &[&str] = &[
    "https://wstap-probe-4f7d1c.invalid",
    "https://a.b.c.wstap-probe-92e0.invalid",
    "https://wstap-probe-4f7d1c.invalid:48629",
    "https://example.invalid",
    "https://xn--probe-9za.invalid",
];

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not a regular expression.
    #[error("--allow-origin {pattern}: not a regular expression: {source}")]
    Invalid {
        /// As configured.
        pattern: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// It allows every origin.
    #[error(
        "--allow-origin {pattern}: matches every origin (it matches {matched}), so it protects \
         nothing; name your own hosts, for example https://([a-z0-9-]+\\.)?example\\.com"
    )]
    MatchesEverything {
        /// As configured.
        pattern: String,
        /// An origin that cannot be anybody's.
        matched: &'static str,
    },
}

/// Patterns of our own origins; each must match the whole origin, in lower case and without the scheme's
/// default port.
#[derive(Clone, Debug, Default)]
pub struct OriginPolicy {
    patterns: Vec<Regex>,
}

impl OriginPolicy {
    /// Compiles `patterns`; refuses one that is not a regular expression or that matches every origin.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PolicyError> {
        let patterns = patterns.iter().map(|p| compile(p.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// What the policy says of the origin of `request`. A request without one, or with something that is
    /// not one origin, is foreign.
    pub fn judge(&self, request: &RequestHead) -> Policy {
        if self.patterns.is_empty() {
            return Policy::None;
        }
        let mut values = request.headers.all("origin");
        let origin = values.next().and_then(origin::normalised);
        let alone = values.next().is_none();
        match origin {
            Some(origin) if alone && self.patterns.iter().any(|p| p.is_match(&origin)) => {
                Policy::Allowed
            }
            _ => Policy::Foreign,
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, PolicyError> {
    // The pattern alone first, so that `a)(b` is not made valid by what surrounds it.
    let compiled = Regex::new(pattern).and_then(|_| {
        RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).size_limit(PATTERN_SIZE).build()
    });
    let regex = compiled.map_err(|error| PolicyError::Invalid {
        pattern: pattern.to_owned(),
        source: Box::new(error),
    })?;
    match IMPROBABLE.iter().find(|origin| regex.is_match(origin)) {
        Some(matched) => {
            Err(PolicyError::MatchesEverything { pattern: pattern.to_owned(), matched })
        }
        None => Ok(regex),
    }
}
