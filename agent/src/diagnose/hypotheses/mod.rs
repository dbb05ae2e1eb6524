//! Why a handshake may have failed: what supports each cause, and what contradicts it.

pub(in crate::diagnose) mod accepted;
pub(in crate::diagnose) mod comparison;
pub(in crate::diagnose) mod refusal;
pub(in crate::diagnose) mod silence;
pub(in crate::diagnose) mod structure;
