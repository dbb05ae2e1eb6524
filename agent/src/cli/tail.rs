//! `wstap tail`: failed handshakes as they happen.
//!
//! In: the running agent's socket, or a capture of our own when no agent runs. Out: events on
//! standard output, until its reader goes.

use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::Path,
};

use anyhow::Context as _;

use super::{Pipeline, TailArgs, complain};
use crate::{
    config::Settings,
    event::Event,
    sink::{filter::Filter, render::Format},
};

pub(super) fn run(args: TailArgs, pipeline: Pipeline) -> anyhow::Result<()> {
    let settings = Settings::resolve(args.options.into(), args.file.config.as_deref())?;
    let format = Format::of_stdout(args.output.json);
    end_with_the_reader();
    let socket = &settings.socket;
    match UnixStream::connect(socket) {
        Ok(agent) => {
            complain(&format!("joined the agent at {}", socket.display()));
            follow(agent, socket, &args.filter, format)
        }
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            complain(&format!("no agent at {}: capturing by itself", socket.display()));
            super::log_to_stderr("warn");
            capture(&settings, pipeline, &args.filter, format)
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot join the agent at {}: run as root or as a member of the socket's group",
                socket.display()
            )
        }),
    }
}

/// Writes what the agent sends.
fn follow(agent: UnixStream, socket: &Path, filter: &Filter, format: Format) -> anyhow::Result<()> {
    let gone = || format!("the agent at {} has ended, or has too many readers", socket.display());
    (&agent).write_all((serde_json::to_string(filter)? + "\n").as_bytes()).with_context(gone)?;
    let mut out = io::stdout().lock();
    for line in BufReader::new(agent).lines() {
        let line = line.with_context(gone)?;
        let event: Event = serde_json::from_str(&line).with_context(|| {
            format!("the agent at {} is of another version: use its own wstap", socket.display())
        })?;
        // What came before the agent took the filter.
        if filter.passes(&event) {
            format.write(&event, &mut out)?;
            out.flush()?;
        }
    }
    Err(anyhow::anyhow!("{}: start wstap tail again", gone()))
}

/// Captures without an agent.
fn capture(
    settings: &Settings,
    pipeline: Pipeline,
    filter: &Filter,
    format: Format,
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut written = Ok(());
    (pipeline.capture)(settings, &mut |event| {
        if filter.passes(&event) {
            written = format.write(&event, &mut out).and_then(|()| out.flush());
        }
        written.is_ok()
    })?;
    Ok(written?)
}

/// Ends the process as soon as nobody reads standard output any more, not only at the next event:
/// `wstap tail | head -1` returns at once.
fn end_with_the_reader() {
    std::thread::spawn(|| {
        let mut output = libc::pollfd { fd: io::stdout().as_raw_fd(), events: 0, revents: 0 };
        loop {
            // SAFETY: the pointer is to one pollfd that lives through the call.
            let ready = unsafe { libc::poll(&raw mut output, 1, -1) };
            if ready > 0 {
                std::process::exit(0);
            }
        }
    });
}
