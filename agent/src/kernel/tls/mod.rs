//! The TLS family: uprobes on TLS libraries, for the plaintext that programs pass to them and get from them.
//!
//! In: which processes are wanted. Out: links in their code, made and dropped as processes come and go, and what became of
//! each process. Opt-in: it reads other processes' plaintext, and costs each call some microseconds.
//!
//! Its thread keeps what attaching takes (CAP_SYS_PTRACE for binaries of other mount namespaces; CAP_SYS_ADMIN only for
//! perf uprobes); the capture's thread keeps none of it.

mod code;
mod image;
mod library;
mod price;
mod process;
mod uprobe;
mod watch;

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;

pub(super) use library::PROGRAMS;
pub use watch::{BUDGET, look};
pub(super) use watch::{Stop, Watch, start};

/// What the family is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose TLS is looked into.
    pub wanted: Wanted,
    /// The share of one processor that the probes in one process may take.
    pub budget: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { wanted: Wanted::Off, budget: BUDGET }
    }
}

/// Whose TLS is looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Wanted {
    /// Nobody's.
    #[default]
    Off,
    /// Of each process that listens on TCP, where it is cheap.
    Auto,
    /// Of processes with these names or programs, whatever it costs.
    Named(Vec<String>),
}

impl Wanted {
    /// Whether anybody's is.
    pub fn is_on(&self) -> bool {
        *self != Self::Off
    }

    fn names(&self, names: &(String, String)) -> bool {
        let Self::Named(wanted) = self else { return false };
        wanted.iter().any(|one| *one == names.0 || *one == names.1)
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "auto" => Ok(Self::Auto),
            _ => {
                let names: Vec<String> =
                    text.split(',').map(|name| name.trim().to_owned()).collect();
                if names.iter().any(String::is_empty) {
                    return Err(
                        "give off, auto, or names of processes with commas between them".to_owned()
                    );
                }
                Ok(Self::Named(names))
            }
        }
    }
}

impl TryFrom<String> for Wanted {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Auto => f.write_str("auto"),
            Self::Named(names) => f.write_str(&names.join(",")),
        }
    }
}

/// What became of a process that ends TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Probed, by this library.
    Probed(&'static str),
    /// It cannot be probed: why.
    Refused(String),
    /// It made more calls than its budget allows, and is let go for a while.
    OverBudget(&'static str),
}

/// A process that ends TLS, as far as it can be told from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id in the initial pid namespace.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// What became of it.
    pub state: State,
}

/// What the family does at this moment, for metrics and `wstap doctor`.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By which means the programs attach; nothing where they do not.
    pub means: &'static str,
    /// Processes, in the order of their ids.
    pub processes: Vec<Process>,
    /// How often a process was let go for its budget.
    pub let_go: u64,
    /// Files and processes that were left out at a bound.
    pub beyond: u64,
}

/// The report, shared between the thread that writes it and those that read it.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<Report>>);

impl Shared {
    /// As it is now.
    pub fn read(&self) -> Report {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_tls_is_one_word_or_names() {
        assert_eq!("off".parse(), Ok(Wanted::Off));
        assert_eq!("auto".parse(), Ok(Wanted::Auto));
        assert_eq!(
            "nginx, node".parse(),
            Ok(Wanted::Named(vec!["nginx".to_owned(), "node".to_owned()]))
        );
        assert!("nginx,,node".parse::<Wanted>().is_err());
        assert!("".parse::<Wanted>().is_err());
    }
}
