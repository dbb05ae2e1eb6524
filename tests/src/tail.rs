//! `wstap tail --json`, read line by line.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::PATIENCE;
use crate::agent::{Agent, binary};
use crate::metrics::Metrics;
use crate::process::{Lines, Process};

/// A running tail.
#[derive(Debug)]
pub struct Tail {
    process: Process,
    lines: Lines,
}

impl Tail {
    /// Starts a tail of the agent and waits until the agent counts it.
    pub(crate) fn start(agent: &Agent, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["tail", "--json", "--socket"]).arg(agent.socket()).args(arguments);
        let readers = |metrics: &Metrics| metrics.count("wstap_tail_readers", &[]);
        let before = readers(&agent.metrics()?);
        let (process, lines) = Process::start_with_lines("tail", &mut command, folder)?;
        agent.wait_for_metrics("the tail to join", |metrics| readers(metrics) > before)?;
        Ok(Self { process, lines })
    }

    /// The next event that is as wanted.
    pub fn next(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let end = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(line) = self.lines.next_within(left) else {
                bail!("no such event; the others:\n{}\n{}", others.join("\n"), self.process.log());
            };
            let event = serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
            if wanted(&event) {
                return Ok(event);
            }
            others.push(line);
        }
    }

    /// The next event, if one comes in the given time.
    pub fn next_within(&self, time: Duration) -> Result<Option<Value>> {
        let Some(line) = self.lines.next_within(time) else { return Ok(None) };
        serde_json::from_str(&line).with_context(|| format!("not JSON: {line}")).map(Some)
    }

    /// The events of one's own until none of them has come for this long; the host may have other traffic.
    pub fn until_quiet(&self, quiet: Duration, own: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let mut events = Vec::new();
        let mut end = Instant::now() + quiet;
        while let Some(event) = self.next_within(end.saturating_duration_since(Instant::now()))? {
            if own(&event) {
                events.push(event);
                end = Instant::now() + quiet;
            }
        }
        Ok(events)
    }
}
