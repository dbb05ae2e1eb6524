//! Live tests: the real agent on this kernel, with real servers and raw clients.
//!
//! Each test has an agent of its own and is alone while it has it: an agent sees the whole host.

#![expect(clippy::indexing_slicing, reason = "a test that ends there has found something")]

mod afterwards;
mod capture;
mod causes;
mod closures;
mod containerd;
mod doctor;
mod extended_connect;
mod frames;
mod hostile;
mod lifecycle;
mod lint;
mod lookalikes;
mod loss;
mod matrix;
mod metrics;
mod namespace;
mod older;
mod outcomes;
mod pods;
mod privileges;
mod probe;
mod prometheus;
mod robust;
mod safety;
mod script;
mod segments;
mod stage;
mod tail;
mod tls;
mod top;
mod truth;
mod vanished;
mod wire;
mod workloads;
