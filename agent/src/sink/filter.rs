//! Which events a reader wants: one set of filters for `tail`, `replay` and the tail socket.
//!
//! In: flags, or the same as JSON. Out: yes or no for an event. Different filters must all pass;
//! several values of one filter are alternatives.

use clap::{Args, builder::PossibleValuesParser, builder::TypedValueParser};
use serde::{Deserialize, Serialize};

use crate::{
    diagnose::Cause,
    event::{AcceptedRow, ClosureEvent, Event, HandshakeEvent, RoleName, normalised_origin},
};

/// Which events a reader wants. The default: every handshake that is known to have failed.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Accepted handshakes too, and those whose answer the agent missed
    #[arg(long)]
    pub all: bool,
    /// The ends of connections too, reconnect storms and clients that gave up
    #[arg(long)]
    pub closures: bool,
    /// Only this origin: `https://app.example`, `https://*.example`, `none` or `null`; repeatable
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    pub origin: Vec<String>,
    /// Only this path; `*` stands for any text: `/chat/*`; repeatable
    #[arg(long, value_name = "PATH")]
    pub path: Vec<String>,
    /// Only this status: 403, 4xx, or `none`; repeatable
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = status_pattern)]
    pub status: Vec<String>,
    /// Only this cause (`wstap explain` lists them); repeatable
    #[arg(long, value_name = "CAUSE", value_delimiter = ',', hide_possible_values = true,
          value_parser = cause_parser())]
    pub cause: Vec<Cause>,
    /// Only what this host saw as server or as client [default: both]
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    pub role: Vec<RoleName>,
}

impl Filter {
    /// Whether the reader wants this event.
    pub fn passes(&self, event: &Event) -> bool {
        match event {
            Event::Handshake(handshake) => self.passes_handshake(handshake),
            Event::Closure(closure) => self.passes_closure(closure),
            Event::Storm(storm) => {
                self.closures
                    && any(&self.role, |role| *role == storm.role)
                    && self.passes_origin(storm.origin.as_deref())
            }
            Event::GaveUp(client) => {
                self.closures
                    && any(&self.role, |role| *role == client.role)
                    && self.passes_origin(client.origin.as_deref())
                    && any(&self.path, |pattern| matches(pattern, &client.path))
            }
            Event::Missed(_) | Event::Suppressed(_) | Event::History(_) => true,
            // For `wstap report` only.
            Event::Accepted(_) => false,
        }
    }

    /// Whether the reader wants what a row of accepted handshakes sums up.
    pub(crate) fn passes_row(&self, row: &AcceptedRow) -> bool {
        any(&self.role, |role| *role == row.role)
            && self.passes_origin(row.origin.as_deref())
            && any(&self.path, |pattern| {
                row.path.as_deref().is_some_and(|path| matches(pattern, path))
            })
    }

    fn passes_handshake(&self, event: &HandshakeEvent) -> bool {
        (self.all || event.has_failed())
            && any(&self.role, |role| *role == event.role)
            && self.passes_origin(event.origin.as_deref())
            && any(&self.path, |pattern| matches(pattern, &event.path))
            && any(&self.status, |pattern| status_matches(pattern, event.status))
            && any(&self.cause, |cause| Some(*cause) == event.cause)
    }

    /// Closures have neither a status nor a cause, so those filters do not speak of them.
    fn passes_closure(&self, event: &ClosureEvent) -> bool {
        self.closures
            && any(&self.role, |role| *role == event.role)
            && self.passes_origin(event.origin.as_deref())
            && any(&self.path, |pattern| {
                event.path.as_deref().is_some_and(|path| matches(pattern, path))
            })
    }

    fn passes_origin(&self, origin: Option<&str>) -> bool {
        any(&self.origin, |pattern| match origin {
            None => pattern == "none",
            Some(origin) => {
                let origin = normalised_origin(origin).unwrap_or_else(|| origin.to_owned());
                let pattern =
                    normalised_origin(pattern).unwrap_or_else(|| pattern.to_ascii_lowercase());
                matches(&pattern, &origin)
            }
        })
    }
}

/// Whether any of the filter's values passes; a filter without values passes everything.
fn any<T>(values: &[T], passes: impl FnMut(&T) -> bool) -> bool {
    values.is_empty() || values.iter().any(passes)
}

/// Whether `pattern` matches all of `text`; `*` stands for any text. Linear in both lengths for
/// each star, without backtracking over earlier stars.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut parts = tail.split('*');
    let last = parts.next_back().unwrap_or_default();
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn status_matches(pattern: &str, status: Option<u16>) -> bool {
    let Some(status) = status else { return pattern == "none" };
    let status = status.to_string();
    match pattern.strip_suffix("xx") {
        Some(class) => status.len() == 3 && status.starts_with(class),
        None => pattern == status,
    }
}

fn status_pattern(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
    let holds = text == "none"
        || class.is_some_and(|class| (1..=9).contains(&class))
        || text.parse::<u16>().is_ok_and(|code| (100..=999).contains(&code));
    if holds { Ok(text) } else { Err("write a code (403), a class (4xx) or none".to_owned()) }
}

fn cause_parser() -> impl TypedValueParser<Value = Cause> {
    PossibleValuesParser::new(Cause::ALL.iter().map(|cause| cause.code())).try_map(|code| {
        let found = Cause::ALL.iter().find(|cause| cause.code() == code);
        found.copied().ok_or("no such cause")
    })
}

#[cfg(test)]
mod tests;
