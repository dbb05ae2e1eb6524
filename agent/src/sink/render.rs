//! Events as text for people: one line a failed handshake, and under it the evidence and the fix.
//!
//! In: events, whose every text a client or a server chose. Out: lines in which control characters
//! are escaped and long values cut, coloured when the reader is a terminal.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Style};

use crate::event::{
    Alternative, Change, ClosureEvent, Container, Event, Evidence, HandshakeEvent, Outcome,
    Process, ProxyChange,
};

/// The longest value in an event's first line, in characters.
const SHORT: usize = 80;
/// The longest value under it.
const LONG: usize = 160;
/// The width of a terminal that does not tell its own.
const DEFAULT_WIDTH: usize = 100;
/// Narrower than this, wrapping would only make it worse.
const MIN_WIDTH: usize = 40;
/// What stands before the lines under an event, and before their continuation.
const INDENT: &str = "    ";
const HANGING: &str = "              ";

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
const CAUSE: Style = AnsiColor::Magenta.on_default().bold();
const LABEL: Style = AnsiColor::Cyan.on_default();
const FAINT: Style = Style::new().dimmed();
const PLAIN: Style = Style::new();

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Text.
    Text {
        /// With ANSI colours.
        colour: bool,
        /// Wrapped at this many columns; `None`: not wrapped.
        width: Option<usize>,
    },
}

impl Format {
    /// What suits standard output: colour and wrapping on a terminal. `NO_COLOR` takes the colour
    /// away, `CLICOLOR_FORCE` gives it to a pipe too.
    pub fn of_stdout(json: bool) -> Self {
        if json {
            return Self::Json;
        }
        let terminal = io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let no_colour =
            set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = terminal_size::terminal_size_of(io::stdout())
            .map_or(DEFAULT_WIDTH, |(width, _)| usize::from(width.0));
        Self::Text {
            colour: (terminal || set("CLICOLOR_FORCE")) && !no_colour,
            width: terminal.then_some(width.max(MIN_WIDTH)),
        }
    }

    /// Writes the event; flushing is left to the caller.
    pub fn write(self, event: &Event, out: &mut impl Write) -> io::Result<()> {
        let text = match self {
            Self::Json => super::json::line(event),
            Self::Text { colour, width } => Text { colour, width }.event(event),
        };
        out.write_all(text.as_bytes())
    }
}

struct Text {
    colour: bool,
    width: Option<usize>,
}

impl Text {
    fn event(&self, event: &Event) -> String {
        match event {
            Event::Handshake(handshake) => self.handshake(handshake),
            Event::Closure(closure) => self.closure(closure),
            Event::Missed(missed) => {
                let note = format!("{} events missed: this reader was too slow", missed.missed);
                self.paint(DOUBTFUL, &note) + "\n"
            }
            Event::Suppressed(event) => self.suppressed(event),
            Event::History(memory) => self.history(memory),
            Event::Accepted(_) => String::new(),
            Event::Storm(storm) => self.storm(storm),
            Event::GaveUp(client) => self.gave_up(client),
        }
    }

    fn handshake(&self, event: &HandshakeEvent) -> String {
        let style = match event.outcome {
            Outcome::Accepted => GOOD,
            Outcome::Unobserved => DOUBTFUL,
            _ => BAD,
        };
        let result = match event.status {
            Some(status) => format!("{} {status}", event.outcome.name()),
            None => event.outcome.name().to_owned(),
        };
        let mut line = vec![
            self.time(&event.time),
            self.paint(FAINT, &format!("{:6}", event.role.name())),
            self.paint(style, &result),
            self.origin(event.origin.as_deref()),
            self.paint(FAINT, "->"),
            safe(event.host.as_deref().unwrap_or("(no host)"), SHORT) + &safe(&event.path, SHORT),
        ];
        line.extend(self.process(event.process.as_ref(), event.server.as_deref()));
        line.extend(event.container.as_ref().map(|container| self.container(container)));
        line.extend(event.unit.as_ref().map(|unit| self.unit(unit)));
        if let Some(attempt) = event.attempt {
            let after = event.retry_after_ms.unwrap_or_default();
            let after = Duration::from_millis(after).as_secs_f64();
            line.push(self.paint(FAINT, &format!("attempt {attempt} after {after:.1}s")));
        }
        if let Some(cause) = event.cause {
            let mut text = self.paint(CAUSE, cause.code());
            if let Some(confidence) = event.confidence {
                let _ = write!(text, " ({})", confidence.name());
            }
            line.push(text);
        }
        let mut text = self.wrapped(&line.join(" "), INDENT);
        if event.outcome == Outcome::Accepted {
            return text;
        }
        if let Some(summary) = &event.summary {
            text += &self.below("why", &safe(summary, LONG * 2));
        }
        if let Some(said) = &event.answer_text {
            text += &self.below("said", &safe(said, LONG));
        }
        if !event.alternatives.is_empty() {
            let named = |other: &Alternative| {
                format!("{} ({})", other.cause.code(), other.confidence.name())
            };
            let others: Vec<_> = event.alternatives.iter().map(named).collect();
            text += &self.below("or", &others.join("; "));
        }
        if !event.evidence.is_empty() {
            let evidence: Vec<_> = event.evidence.iter().map(evidence).collect();
            text += &self.below("evidence", &evidence.join("; "));
        }
        let proxy = self.process(event.proxy.as_ref(), None);
        let place = event.proxy_container.as_ref().or(event.peer_container.as_ref());
        if proxy.is_some() || place.is_some() {
            let place = place.map(|container| self.container(container));
            let both: Vec<_> = proxy.into_iter().chain(place).collect();
            text += &self.below("from", &both.join(" "));
        }
        for change in &event.proxy_changes {
            text += &self.below("proxy", &proxy_change(change));
        }
        if let Some(fix) = &event.fix {
            text += &self.below("fix", &safe(fix, LONG * 2));
        }
        text
    }

    fn closure(&self, event: &ClosureEvent) -> String {
        let style = if event.clean { GOOD } else { DOUBTFUL };
        let how =
            format!("closed {} by {} ({})", event.code, event.initiator.name(), event.by.name());
        let mut line = vec![
            self.time(&event.time),
            self.paint(FAINT, &format!("{:6}", event.role.name())),
            self.paint(style, &how),
            self.origin(event.origin.as_deref()),
            self.paint(FAINT, "->"),
            safe(event.path.as_deref().unwrap_or("(path unseen)"), SHORT),
        ];
        line.extend(self.process(event.process.as_ref(), None));
        line.extend(event.container.as_ref().map(|container| self.container(container)));
        line.extend(event.unit.as_ref().map(|unit| self.unit(unit)));
        line.push(format!(
            "after {}{:.1}s, idle {:.1}s, {} in, {} out",
            if event.older_than_agent { "more than " } else { "" },
            event.connection_seconds,
            event.idle_seconds,
            event.messages_in,
            event.messages_out
        ));
        if let Some(reason) = &event.reason {
            let mut text = self.paint(CAUSE, &safe(reason, SHORT));
            if let Some(confidence) = event.confidence {
                let _ = write!(text, " ({})", confidence.name());
            }
            line.push(text);
        }
        self.wrapped(&line.join(" "), INDENT)
    }

    /// RFC 3339 without the microseconds' last three digits: enough for the eye.
    fn time(&self, time: &str) -> String {
        let brief = match time.split_once('.') {
            Some((seconds, rest)) if rest.len() == 7 => {
                format!("{seconds}.{}Z", rest.get(..3).unwrap_or_default())
            }
            _ => time.to_owned(),
        };
        self.paint(FAINT, &safe(&brief, SHORT))
    }

    fn origin(&self, origin: Option<&str>) -> String {
        match origin {
            Some(origin) => safe(origin, SHORT),
            None => self.paint(FAINT, "(no origin)"),
        }
    }

    fn process(&self, process: Option<&Process>, server: Option<&str>) -> Option<String> {
        let name =
            process.map(|process| format!("{}[{}]", safe(&process.name, SHORT), process.pid));
        let server = server.map(|server| safe(server, SHORT));
        let text = match (name, server) {
            (Some(name), Some(server)) => format!("{name} ({server})"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return None,
        };
        Some(self.paint(LABEL, &text))
    }

    /// Where a process runs: the pod, else the container's name, else the head of its id.
    fn container(&self, container: &Container) -> String {
        let Container { id, name, pod, namespace, .. } = container;
        let text = match (namespace, pod, name) {
            (Some(namespace), Some(pod), _) => format!("in pod {namespace}/{pod}"),
            (_, _, Some(name)) => format!("in container {name}"),
            _ => format!("in container {}", id.get(..12).unwrap_or(id)),
        };
        self.paint(LABEL, &safe(&text, SHORT))
    }

    fn unit(&self, unit: &str) -> String {
        self.paint(LABEL, &safe(&format!("in {unit}"), SHORT))
    }

    /// A line under the event.
    fn below(&self, label: &str, text: &str) -> String {
        let label = self.paint(LABEL, &format!("{label:8}"));
        self.wrapped(&format!("{INDENT}{label}  {text}"), HANGING)
    }

    /// `text` and a line feed, wrapped at words.
    fn wrapped(&self, text: &str, continuation: &str) -> String {
        let Some(width) = self.width else { return format!("{text}\n") };
        let options = textwrap::Options::new(width)
            .subsequent_indent(continuation)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        textwrap::fill(text, options) + "\n"
    }

    fn paint(&self, style: Style, text: &str) -> String {
        let style = if self.colour { style } else { PLAIN };
        format!("{style}{text}{style:#}")
    }
}

fn evidence(evidence: &Evidence) -> String {
    format!("{}: {}", safe(&evidence.name, SHORT), safe(&evidence.value, LONG))
}

fn proxy_change(change: &ProxyChange) -> String {
    let header = safe(&change.header, SHORT);
    let value = |value: &Option<String>| safe(value.as_deref().unwrap_or("?"), LONG);
    match change.change {
        Change::Added => format!("added {header}: {}", value(&change.after)),
        Change::Removed => format!("removed {header} (was {})", value(&change.before)),
        Change::Rewrote => {
            format!("rewrote {header}: {} became {}", value(&change.before), value(&change.after))
        }
    }
}

/// `text` without anything that a terminal acts on or that hides what it says: control characters,
/// escape sequences, bidirectional overrides and other invisible characters are escaped, and what is
/// longer than `most` characters is cut.
pub fn safe(text: &str, most: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(most));
    for (index, character) in text.chars().enumerate() {
        if index == most {
            safe.push('…');
            break;
        }
        match character {
            '"' | '\'' => safe.push(character),
            _ => safe.extend(character.escape_debug()),
        }
    }
    safe
}

mod notices;

#[cfg(test)]
mod tests;
