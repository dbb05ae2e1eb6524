//! `wstap audit`: handshakes of our own through the chain, before somebody else's fail.
//!
//! In: a URL and what is expected of it. Out: findings. The order: `plan` says which handshakes are made, `client`
//! makes them, `behind` collects what arrived of them, `probes` compare and judge, `expect` and `baseline` say
//! what of that counts. No kernel, no root: nothing here knows the rest of the agent but its parser and its diagnosis.

pub mod baseline;
pub mod behind;
pub mod client;
pub mod expect;
pub mod judge;
pub mod mark;
pub mod plan;
pub mod probes;
mod run;
pub mod target;

pub use run::{Audit, Progress, Unreachable};
