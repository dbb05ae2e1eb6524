//! Events about many handshakes at once, and about the stream itself, as text.

use std::fmt::Write as _;

use super::{BAD, CAUSE, DOUBTFUL, FAINT, INDENT, LONG, SHORT, Text, safe};
use crate::event::{GaveUpEvent, HistoryEvent, StormEvent, SuppressedEvent};

impl Text {
    pub(super) fn suppressed(&self, event: &SuppressedEvent) -> String {
        let causes: Vec<_> = event.causes.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
        let list = safe(&causes.join(", "), LONG * 2);
        let note = format!("{} events not written (--events-rate): {list}", event.suppressed);
        let line = format!("{} {}", self.time(&event.time), self.paint(DOUBTFUL, &note));
        self.wrapped(&line, INDENT)
    }

    pub(super) fn history(&self, memory: &HistoryEvent) -> String {
        let HistoryEvent { since, events, forgotten } = memory;
        let mut note = match since {
            Some(since) => {
                format!("the agent remembers {events} events, back to {}", safe(since, SHORT))
            }
            None => "the agent remembers nothing yet".to_owned(),
        };
        if *forgotten > 0 {
            let _ = write!(note, "; {forgotten} older ones are forgotten (--history-bytes)");
        }
        self.wrapped(&self.paint(FAINT, &format!("-- {note}")), INDENT)
    }

    pub(super) fn storm(&self, event: &StormEvent) -> String {
        let how = format!(
            "reconnect storm: {} connections ended together, {} handshakes within {:.1}s, {} failed",
            event.ended, event.reconnects, event.seconds, event.failed
        );
        let mut line = vec![
            self.time(&event.time),
            self.paint(FAINT, &format!("{:6}", event.role.name())),
            self.paint(BAD, &how),
            self.origin(event.origin.as_deref()),
            format!("after {} by {} ({})", event.code, event.initiator.name(), event.by.name()),
        ];
        line.extend(event.reason.as_ref().map(|reason| self.paint(CAUSE, &safe(reason, SHORT))));
        self.wrapped(&line.join(" "), INDENT)
    }

    pub(super) fn gave_up(&self, event: &GaveUpEvent) -> String {
        let how = format!("gave up after {} attempts in {:.1}s", event.attempts, event.seconds);
        let mut line = vec![
            self.time(&event.time),
            self.paint(FAINT, &format!("{:6}", event.role.name())),
            self.paint(BAD, &how),
            self.origin(event.origin.as_deref()),
            self.paint(FAINT, "->"),
            safe(&event.path, SHORT),
        ];
        line.extend(event.cause.map(|cause| self.paint(CAUSE, cause.code())));
        self.wrapped(&line.join(" "), INDENT)
    }
}
