//! Where `wstap tail` and `wstap top` get their events: the running agent's socket, or a capture of
//! our own when no agent runs.

use std::{
    fmt,
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use anyhow::Context as _;

use super::Pipeline;
use crate::{config::Settings, event::Event, sink::filter::Filter};

/// Where the events come from.
pub(super) struct Source {
    socket: PathBuf,
    agent: Option<UnixStream>,
}

impl Source {
    /// The agent, if one answers on its socket; an error when it may not be asked.
    pub(super) fn find(settings: &Settings) -> anyhow::Result<Self> {
        let socket = settings.socket.clone();
        let agent = match UnixStream::connect(&socket) {
            Ok(agent) => Some(agent),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                None
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot join the agent at {}: run as root or as a member of the socket's \
                         group",
                        socket.display()
                    )
                });
            }
        };
        Ok(Self { socket, agent })
    }

    /// Whether there is no agent.
    pub(super) fn captures(&self) -> bool {
        self.agent.is_none()
    }

    /// Gives every event that the filter passes to `take`, until it answers false. An agent that ends
    /// is an error; `command` is what to start again then.
    pub(super) fn each(
        self,
        command: &str,
        settings: &Settings,
        pipeline: Pipeline,
        filter: &Filter,
        take: &mut dyn FnMut(Event) -> bool,
    ) -> anyhow::Result<()> {
        let Some(agent) = self.agent else {
            return (pipeline.capture)(settings, &mut |event| {
                !filter.passes(&event) || take(event)
            });
        };
        let socket = self.socket.display();
        // Without the error that showed it: a broken pipe is told apart only where it is our own reader that has gone.
        let gone = || {
            anyhow::anyhow!(
                "the agent at {socket} has ended, or has too many readers: start wstap {command} again"
            )
        };
        let filter_line = serde_json::to_string(filter)? + "\n";
        (&agent).write_all(filter_line.as_bytes()).map_err(|_| gone())?;
        for line in BufReader::new(agent).lines() {
            let line = line.map_err(|_| gone())?;
            let event: Event = serde_json::from_str(&line).with_context(|| {
                format!("the agent at {socket} is of another version: use its own wstap")
            })?;
            // What came before the agent took the filter.
            if filter.passes(&event) && !take(event) {
                return Ok(());
            }
        }
        Err(gone())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = self.socket.display();
        match self.agent {
            Some(_) => write!(f, "joined the agent at {socket}"),
            None => write!(f, "no agent at {socket}: capturing by itself"),
        }
    }
}
