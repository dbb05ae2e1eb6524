//! Where `wstap tail`, `wstap top` and `wstap report` get their events: the running agent's socket, standard input, or
//! a capture of our own when no agent runs.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{Pipeline, lines};
use crate::{
    clock,
    config::{Settings, duration},
    event::{Event, timestamp},
    sink::{Ask, filter::Filter},
};

/// What of the past is wanted.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct PastArgs {
    /// Begin with what the agent remembers: with its last N events
    #[arg(long, value_name = "N")]
    pub(super) last: Option<usize>,
    /// Begin with what the agent remembers of so long: `15m`, `2h`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) since: Option<Duration>,
    /// End behind what the agent remembers
    #[arg(long)]
    pub(super) no_follow: bool,
}

impl PastArgs {
    pub(super) fn is_wanted(&self) -> bool {
        self.last.is_some() || self.since.is_some() || self.no_follow
    }
}

/// Where the events come from.
pub(super) enum Source {
    /// The agent that answers on this socket.
    Agent(PathBuf, UnixStream),
    /// No agent answers on this socket.
    Capture(PathBuf),
    /// JSON lines.
    StandardInput,
}

/// Takes an event; false: no more is wanted. The flag says whether it is remembered, and did not happen just now.
pub(super) type Take<'a> = &'a mut dyn FnMut(Event, bool) -> bool;

impl Source {
    /// The agent, if one answers on its socket; an error when it may not be asked, or when there is none to ask for
    /// the past. `input`: the events are on standard input.
    pub(super) fn find(
        settings: &Settings,
        input: Option<&Path>,
        past: &PastArgs,
    ) -> anyhow::Result<Self> {
        match input {
            Some(input) if input == Path::new("-") => return Ok(Self::StandardInput),
            Some(input) => bail!(
                "{} is not read here: write - for standard input, or use wstap report or wstap replay",
                input.display()
            ),
            None => {}
        }
        let socket = settings.socket.clone();
        match UnixStream::connect(&socket) {
            Ok(agent) => Ok(Self::Agent(socket, agent)),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                if past.is_wanted() {
                    bail!(
                        "no agent at {}: only a running agent remembers (wstap run)",
                        socket.display()
                    );
                }
                Ok(Self::Capture(socket))
            }
            Err(error) => Err(error).with_context(|| {
                format!(
                    "cannot join the agent at {}: run as root or as a member of the socket's \
                     group",
                    socket.display()
                )
            }),
        }
    }

    /// Whether there is no agent and we capture by ourselves.
    pub(super) const fn captures(&self) -> bool {
        matches!(self, Self::Capture(_))
    }

    /// Gives every event that the filter passes to `take`, until it answers false. An agent that ends
    /// is an error; `command` is what to start again then. Out: what the user must know of what was read.
    pub(super) fn each(
        self,
        command: &str,
        settings: &Settings,
        pipeline: Pipeline,
        (filter, past): (&Filter, &PastArgs),
        take: Take<'_>,
    ) -> anyhow::Result<Option<String>> {
        match self {
            Self::Capture(_) => {
                (pipeline.capture)(settings, &mut |event| {
                    !filter.passes(&event) || take(event, false)
                })?;
                Ok(None)
            }
            Self::Agent(socket, agent) => {
                let ask = past.is_wanted().then(|| Ask {
                    filter: filter.clone(),
                    since: past.since.map(ago),
                    accepted: false,
                });
                let asked = ask.as_ref();
                joined(command, &socket, &agent, filter, asked, &mut remembering(past, take))?;
                Ok(None)
            }
            Self::StandardInput => {
                let mut take = remembering(past, take);
                // Of a stream that ends, all is the past; its last line is the newest there is.
                let since = past.since.map(ago);
                let ask = Ask { filter: filter.clone(), since, accepted: false };
                let read = lines::each(io::stdin().lock(), &mut |event| {
                    // What another reader was told of its own stream.
                    let is_own = !matches!(event, Event::History(_));
                    !is_own || !ask.passes(&event) || take(Some(event), past.is_wanted())
                })?;
                take(None, false);
                Ok(read.note("standard input"))
            }
        }
    }
}

/// The time so long ago, as events have it.
pub(super) fn ago(time: Duration) -> String {
    timestamp(clock::wall().saturating_sub(time))
}

/// Holds the past back until it is over, when only its last events are wanted; `None` says that it is over.
fn remembering<'a>(
    past: &PastArgs,
    take: Take<'a>,
) -> impl FnMut(Option<Event>, bool) -> bool + use<'a> {
    let (last, follow) = (past.last, !past.no_follow);
    let mut held = VecDeque::new();
    move |event, is_past| match event {
        Some(event) if is_past && last.is_some() => {
            held.push_back(event);
            if held.len() > last.unwrap_or(usize::MAX) {
                held.pop_front();
            }
            true
        }
        Some(Event::History(memory)) => {
            held.drain(..).all(|event| take(event, true))
                && take(Event::History(memory), true)
                && follow
        }
        Some(event) => take(event, is_past),
        None => held.drain(..).all(|event| take(event, true)),
    }
}

/// Asks the agent that is connected, and takes what it sends. An agent that ends is an error.
pub(super) fn joined(
    command: &str,
    socket: &Path,
    agent: &UnixStream,
    filter: &Filter,
    ask: Option<&Ask>,
    take: &mut dyn FnMut(Option<Event>, bool) -> bool,
) -> anyhow::Result<()> {
    let socket = socket.display();
    // Without the error that showed it: a broken pipe is told apart only where it is our own reader that has gone.
    let gone = || {
        anyhow::anyhow!(
            "the agent at {socket} has ended, or has too many readers: start wstap {command} again"
        )
    };
    let question = match ask {
        Some(ask) => serde_json::to_string(ask)?,
        None => serde_json::to_string(filter)?,
    };
    let mut to = agent;
    to.write_all((question + "\n").as_bytes()).map_err(|_| gone())?;
    let mut is_past = ask.is_some();
    for line in BufReader::new(agent).lines() {
        let line = line.map_err(|_| gone())?;
        let event: Event = serde_json::from_str(&line).with_context(|| {
            format!("the agent at {socket} is of another version: use its own wstap")
        })?;
        // What came before the agent took the question.
        let passes = match ask {
            Some(ask) => ask.passes(&event),
            None => filter.passes(&event),
        };
        let begins = matches!(event, Event::History(_));
        if passes && !take(Some(event), is_past) {
            return Ok(());
        }
        is_past &= !begins;
    }
    Err(gone())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(socket, _) => write!(f, "joined the agent at {}", socket.display()),
            Self::Capture(socket) => {
                write!(f, "no agent at {}: capturing by itself", socket.display())
            }
            Self::StandardInput => write!(f, "reading standard input"),
        }
    }
}
