//! Live tests: the real agent on this kernel, with real servers and raw clients.
//!
//! Each test has an agent of its own and is alone while it has it: an agent sees the whole host.

mod capture;
mod causes;
mod lifecycle;
mod loss;
mod lookalikes;
mod metrics;
mod outcomes;
mod safety;
mod segments;
mod stage;
mod tail;
mod truth;
mod wire;
