//! Why a handshake failed.
//!
//! In: an exchange, and what others show. Out: a verdict. No I/O, no clock. Each part has a place: what was seen in this
//! exchange (`facts`), what other exchanges show (`evidence`), why it may have failed (`hypotheses`), what is known of
//! servers and proxies (`knowledge`, data), and how a verdict comes of all that (`weighing`).

mod cause;
pub mod ending;
mod evidence;
mod facts;
mod hypotheses;
mod knowledge;
#[cfg(test)]
mod tests;
mod weighing;

pub use cause::{Cause, Confidence};
pub use evidence::{legs, population, population::PopulationEvidence};
pub use facts::{forwarded::scheme, origin::normalised as normalised_origin};
pub use knowledge::fix::{Hop, Scene, Told};
pub use knowledge::products;
pub use weighing::{
    ALTERNATIVES, diagnose,
    verdict::{
        Alternative, Change, EVIDENCE_VALUE, Evidence, Outcome, Policy, ProxyChange, Scheme,
        Verdict,
    },
};

use evidence::{changes, context};
use facts::{case, client, features, forwarded, origin, words};
use knowledge::{advice, fingerprint, proxies, servers};
