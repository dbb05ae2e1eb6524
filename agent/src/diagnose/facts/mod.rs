//! What was seen in one exchange, read once for all hypotheses: the request, the answer, and what they say of origin,
//! host, client and proxies.

pub(in crate::diagnose) mod case;
pub(in crate::diagnose) mod client;
pub(in crate::diagnose) mod features;
pub(in crate::diagnose) mod forwarded;
pub(in crate::diagnose) mod origin;
pub(in crate::diagnose) mod words;
