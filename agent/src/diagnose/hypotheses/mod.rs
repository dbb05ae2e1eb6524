//! Why a handshake may have failed. Each cause has one place, which says what supports it, in which features of the
//! request it lies, which words name it, what contradicts it, and what would disprove it.

mod answer;
mod check;
mod extended_connect;
mod finding;
mod gateway;
mod host;
mod limits;
mod not_allowed;
mod origin;
mod path;
mod protocol;
mod refusal;
mod scheme;
mod silence;
mod structure;
mod subprotocol;
mod switched;
mod upgrade;

#[cfg(test)]
pub(in crate::diagnose) use answer::accept_value;
pub(in crate::diagnose) use finding::{Contradiction, Effect, Finding, Grounds};

use crate::diagnose::{Cause, case::Case, features::Features, words::Topics};

/// A cause, as code.
#[derive(Clone, Copy)]
pub(in crate::diagnose) struct Hypothesis {
    pub(in crate::diagnose) cause: Cause,
    /// Where two causes are supported alike, the more usual one is named first.
    pub(in crate::diagnose) usual: u8,
    /// The features of the request in which it lies: where a server lets them pass, something else refused.
    pub(in crate::diagnose) lies_in: Features,
    /// What an answer speaks of that names it.
    pub(in crate::diagnose) named_by: Topics,
    /// What supports it, in this exchange and its legs.
    pub(in crate::diagnose) support: fn(&Case<'_>) -> Option<Finding>,
    /// What contradicts it beyond what holds for all: see `weighing`.
    pub(in crate::diagnose) against: fn(&Case<'_>, &Finding, &mut Vec<Contradiction>),
    /// Causes that bring this one about: beside them it is no other cause.
    pub(in crate::diagnose) part_of: &'static [Cause],
}

impl Hypothesis {
    /// What the rows have in common.
    const PLAIN: Self = Self {
        cause: Cause::Unknown,
        usual: 50,
        lies_in: Features::NONE,
        named_by: Topics::NONE,
        support: |_| None,
        against: |_, _, _| {},
        part_of: &[],
    };
}

/// All that can make a server refuse, or not answer. Their order means nothing.
pub(in crate::diagnose) const REFUSED: &[Hypothesis] = &[
    upgrade::STRIPPED,
    upgrade::MANGLED,
    upgrade::CONNECTION,
    extended_connect::UNTRANSLATED,
    protocol::KEY_MISSING,
    protocol::KEY_INVALID,
    protocol::VERSION,
    protocol::HTTP_VERSION,
    protocol::METHOD,
    host::MISSING,
    host::REWRITTEN,
    host::PORT,
    origin::ABSENT,
    origin::STRIPPED,
    origin::NULL,
    origin::MALFORMED,
    origin::REWRITTEN,
    not_allowed::NOT_ALLOWED,
    not_allowed::CORS,
    scheme::MISSING,
    scheme::WRONG,
    scheme::UNTRUSTED_PROXY,
    refusal::AUTH,
    refusal::FORBIDDEN,
    refusal::SESSION,
    path::NOT_FOUND,
    path::REDIRECTED,
    path::IGNORED,
    subprotocol::REQUIRED,
    limits::HEADER,
    limits::RATE,
    gateway::UPSTREAM,
    gateway::SERVER,
    silence::MALFORMED,
    silence::GAVE_UP,
    silence::UNANSWERED,
    silence::TIMED_OUT,
    refusal::UNKNOWN,
];

/// All that can make a handshake fail after a 101.
pub(in crate::diagnose) const SWITCHED: &[Hypothesis] = &[
    answer::UPGRADE,
    answer::MANGLED,
    answer::CONNECTION,
    answer::ACCEPT,
    answer::KEY,
    answer::EXTENSION,
    subprotocol::MISMATCH,
    switched::FRAMES,
    switched::HTTP_VERSION,
    switched::REJECTED,
    switched::DROPPED,
];
