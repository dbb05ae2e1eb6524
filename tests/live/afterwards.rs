//! Failures that nobody watched as they happened: on standard output, at an OTLP receiver, in the agent's memory, in a
//! report.

mod otlp;
mod streams;
