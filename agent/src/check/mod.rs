//! What checks report: the findings of `wstap audit` and `wstap lint`, and the formats in which they are written.
//!
//! In: suites of findings. Out: a table, JSON, JUnit XML or SARIF, and the exit code that a CI job goes by.
//! Nothing here makes a handshake or reads a configuration.

mod code;
mod finding;
mod format;
mod report;

pub use code::{Code, Own};
pub use finding::{ABSENT, Finding, Place, Value, Verdict};
pub use format::{Format, Look, write};
pub use report::{Exit, Report, Suite, Tool};
