//! Where events go besides the metrics and the live tail: standard output, the agent's memory, an OTLP receiver.

use std::{fmt, ops::RangeInclusive, path::PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::{ConfigError, toml_text};

/// How much the agent remembers: some ten thousand events.
const DEFAULT_HISTORY_BYTES: usize = 8 * 1024 * 1024;
/// How many events a second go to standard output.
const DEFAULT_EVENTS_RATE: u32 = 100;
/// The most that the agent may remember: more belongs into a log system.
const HISTORY_BYTES: usize = 256 * 1024 * 1024;
/// The bounds of `--events-rate`: the queue behind it holds a thousand lines.
const EVENTS_RATE: RangeInclusive<u32> = 1..=10_000;
/// The most headers for the OTLP receiver.
const OTLP_HEADERS: usize = 16;

/// Which events a sink gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EventsWanted {
    /// Failed handshakes, abnormal ends, reconnect storms and clients that gave up
    Failed,
    /// Accepted handshakes, too, those whose answer was missed, and every end
    All,
}

impl EventsWanted {
    /// The name in the public interface.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::All => "all",
        }
    }
}

/// Where events go besides.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SinkOptions {
    /// Write events to standard output, one JSON object a line [default: none]
    #[arg(long, value_name = "WHICH", env = "WSTAP_EVENTS")]
    pub events: Option<EventsWanted>,
    /// At most so many events a second go to standard output; a line a second sums up the others [default: 100]
    #[arg(long, value_name = "N", env = "WSTAP_EVENTS_RATE")]
    pub events_rate: Option<u32>,
    /// How much memory the last failures may take, for `tail --last`, `--since` and `report`; 0: none are kept
    /// [default: 8388608]
    #[arg(long, value_name = "BYTES", env = "WSTAP_HISTORY_BYTES")]
    pub history_bytes: Option<usize>,
    /// Send events as OTLP logs by gRPC to this receiver: `http://host:4317`, or `https://` for TLS
    /// [default: none are sent]
    #[arg(long, value_name = "URL", env = "WSTAP_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Which events are sent there [default: failed]
    #[arg(long, value_name = "WHICH", env = "WSTAP_OTLP_EVENTS")]
    pub otlp_events: Option<EventsWanted>,
    /// A header for the receiver, as `name=value`, comma-separated or repeatable. Others see the arguments of a
    /// program: write secrets into the environment or the configuration file
    #[arg(
        long,
        value_name = "NAME=VALUE",
        env = "WSTAP_OTLP_HEADERS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub otlp_headers: Vec<String>,
    /// The certificates (PEM) that may have signed the receiver's [default: those that this host trusts]
    #[arg(long, value_name = "FILE", env = "WSTAP_OTLP_CA")]
    pub otlp_ca: Option<PathBuf>,
}

/// The same, checked and with defaults.
#[derive(Clone, Debug)]
pub struct SinkSettings {
    /// Which events go to standard output.
    pub events: Option<EventsWanted>,
    /// How many a second.
    pub events_rate: u32,
    /// How many bytes of events are remembered.
    pub history_bytes: usize,
    /// Where OTLP logs go.
    pub otlp: Option<OtlpSettings>,
}

/// An OTLP receiver.
#[derive(Clone)]
pub struct OtlpSettings {
    /// `http://` or `https://`, host and port.
    pub endpoint: String,
    /// Which events it gets.
    pub events: EventsWanted,
    /// What is sent with each request. The values are secret.
    pub headers: Vec<(String, String)>,
    /// The certificates that may have signed the receiver's.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, events, headers, ca } = self;
        let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("OtlpSettings")
            .field("endpoint", endpoint)
            .field("events", events)
            .field("headers", &names)
            .field("ca", ca)
            .finish()
    }
}

impl SinkOptions {
    pub(super) fn or(self, weaker: Self) -> Self {
        let headers =
            if self.otlp_headers.is_empty() { weaker.otlp_headers } else { self.otlp_headers };
        Self {
            events: self.events.or(weaker.events),
            events_rate: self.events_rate.or(weaker.events_rate),
            history_bytes: self.history_bytes.or(weaker.history_bytes),
            otlp_endpoint: self.otlp_endpoint.or(weaker.otlp_endpoint),
            otlp_events: self.otlp_events.or(weaker.otlp_events),
            otlp_headers: headers,
            otlp_ca: self.otlp_ca.or(weaker.otlp_ca),
        }
    }

    pub(super) fn resolve(self) -> Result<SinkSettings, ConfigError> {
        let refused = |option, value: &dyn fmt::Display, bounds| ConfigError::OutOfBounds {
            option,
            value: value.to_string(),
            bounds,
        };
        let events_rate = self.events_rate.unwrap_or(DEFAULT_EVENTS_RATE);
        if !EVENTS_RATE.contains(&events_rate) {
            return Err(refused("events-rate", &events_rate, "1 to 10000"));
        }
        let history_bytes = self.history_bytes.unwrap_or(DEFAULT_HISTORY_BYTES);
        if history_bytes > HISTORY_BYTES {
            return Err(refused("history-bytes", &history_bytes, "0 to 268435456"));
        }
        if self.otlp_headers.len() > OTLP_HEADERS {
            let count = format!("({} headers)", self.otlp_headers.len());
            return Err(refused("otlp-headers", &count, "0 to 16 headers"));
        }
        let headers = self.otlp_headers.iter().map(|header| {
            // Not even a wrong value is shown: it may be the right one with a slip.
            let (name, value) = header.split_once('=').ok_or(ConfigError::BadHeader)?;
            let name = name.trim().to_ascii_lowercase();
            let holds = http::HeaderName::try_from(&name).is_ok()
                && http::HeaderValue::try_from(value.trim()).is_ok();
            holds.then(|| (name, value.trim().to_owned())).ok_or(ConfigError::BadHeader)
        });
        let headers = headers.collect::<Result<Vec<_>, _>>()?;
        let otlp = self.otlp_endpoint.map(|endpoint| {
            let uri = http::Uri::try_from(&endpoint).ok();
            let holds = uri.is_some_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                    && matches!(uri.path(), "" | "/")
            });
            if !holds {
                return Err(ConfigError::BadEndpoint);
            }
            let events = self.otlp_events.unwrap_or(EventsWanted::Failed);
            Ok(OtlpSettings { endpoint, events, headers, ca: self.otlp_ca })
        });
        Ok(SinkSettings {
            events: self.events,
            events_rate,
            history_bytes,
            otlp: otlp.transpose()?,
        })
    }
}

/// As lines of a configuration file that says the same, but for the values of headers.
impl fmt::Display for SinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(events) = self.events {
            writeln!(f, "events = \"{}\"", events.name())?;
        }
        writeln!(f, "events-rate = {}", self.events_rate)?;
        writeln!(f, "history-bytes = {}", self.history_bytes)?;
        if let Some(OtlpSettings { endpoint, events, headers, ca }) = &self.otlp {
            writeln!(f, "otlp-endpoint = {}", toml_text(endpoint))?;
            writeln!(f, "otlp-events = \"{}\"", events.name())?;
            for (name, _) in headers {
                writeln!(f, "# otlp-headers: {name} is set; its value is not shown")?;
            }
            if let Some(ca) = ca {
                writeln!(f, "otlp-ca = {}", toml_text(&ca.to_string_lossy()))?;
            }
        }
        Ok(())
    }
}
