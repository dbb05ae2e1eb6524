//! What is known of servers, proxies and products, as data.

pub(in crate::diagnose) mod advice;
pub(in crate::diagnose) mod fingerprint;
pub(in crate::diagnose) mod fix;
pub mod products;
pub(in crate::diagnose) mod proxies;
pub(in crate::diagnose) mod servers;
