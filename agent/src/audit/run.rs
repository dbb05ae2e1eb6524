//! One audit of one path: the handshakes in their order, then what arrived, then the judgement.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_rustls::rustls::ClientConfig;

use super::{
    behind::Arrivals,
    client::{
        connect::{ConnectError, Connector},
        handshake::{self, Attempt},
        http2,
        request::{self, Given},
    },
    expect::Expectation,
    mark,
    plan::{self, Choice, Probe, Purpose},
    probes::{self, Facts, Made, Observer, Seen},
    target::Target,
};
use crate::{
    check::{Finding, Suite},
    pages,
};

/// How long a request that was answered may take to be found behind the chain: by our own backend at once, by the agent
/// when it has told it (an accepted handshake is told after a second).
const BACKEND_PATIENCE: Duration = Duration::from_millis(200);
const AGENT_PATIENCE: Duration = Duration::from_secs(4);
/// After the last handshake the agent gets so long to tell the leg behind each proxy of its node.
const AGENT_SETTLES: Duration = Duration::from_millis(1500);

/// The target cannot be reached: nothing can be said of it.
#[derive(Debug, thiserror::Error)]
#[error("{target}: {error}")]
pub struct Unreachable {
    target: String,
    error: ConnectError,
}

/// What is told while an audit runs: how many of how many, and which is next.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize, &str);

/// What an audit needs.
pub struct Audit {
    /// The URL.
    pub target: Target,
    /// The good origin.
    pub origin: String,
    /// What is expected.
    pub expect: Expectation,
    /// What every request carries.
    pub given: Given,
    /// How connections are made.
    pub connector: Connector,
    /// TLS for HTTP/1.1, and for HTTP/2.
    pub tls: Option<(Arc<ClientConfig>, Arc<ClientConfig>)>,
    /// The port on which the same is tried without TLS.
    pub plain_port: Option<u16>,
    /// How long quiet connections are kept.
    pub idle: Option<Duration>,
    /// The least time between two handshakes.
    pub pause: Duration,
    /// The marks.
    pub run: mark::Run,
    /// Who sees what arrives.
    pub observer: Observer,
    /// Where it is found.
    pub arrivals: Arrivals,
    /// The proxy that a fix is for; else what its answers say.
    pub proxy: Option<String>,
}

impl Audit {
    /// The handshakes that will be made.
    pub fn plan(&self) -> Vec<Probe> {
        plan::probes(Choice {
            origin: &self.origin,
            expect: &self.expect,
            backend: self.observer == Observer::Backend,
            secure: self.target.secure,
            plain: self.target.secure && self.plain_port.is_some(),
            idle: self.idle.or(self.expect.idle),
        })
    }

    /// Makes them and judges.
    pub async fn run(&self, progress: Progress<'_>) -> Result<Suite, Unreachable> {
        let plan = self.plan();
        let count = plan.len();
        let mut seen: Vec<Seen> = Vec::new();
        let mut good = true;
        let (idle, quick): (Vec<_>, Vec<_>) =
            plan.into_iter().partition(|probe| matches!(probe.purpose, Purpose::Idle(_)));
        for probe in quick {
            progress(seen.len(), count, &probe.name);
            let began = Instant::now();
            let tells = good || matches!(probe.purpose, Purpose::Forged | Purpose::Plain);
            let made = if tells { self.make(seen.len(), &probe).await } else { Made::Untried };
            if probe.purpose == Purpose::Handshake {
                if let Made::NotConnected(error) = made {
                    return Err(Unreachable { target: self.target.to_string(), error });
                }
                good = matches!(&made, Made::Attempt(attempt) if attempt.accepted());
            }
            let waits = tells && seen.len() + 1 < count;
            seen.push(Seen { probe, made, arrived: None });
            if waits {
                tokio::time::sleep(self.pause.saturating_sub(began.elapsed())).await;
            }
        }
        if let [silent, pinged] = idle.as_slice() {
            progress(seen.len(), count, "idle");
            let made = if good {
                tokio::join!(self.make(seen.len(), silent), self.make(seen.len() + 1, pinged))
            } else {
                (Made::Untried, Made::Untried)
            };
            seen.push(Seen { probe: silent.clone(), made: made.0, arrived: None });
            seen.push(Seen { probe: pinged.clone(), made: made.1, arrived: None });
        }
        progress(count, count, "what arrived");
        self.collect(&mut seen).await;
        Ok(Suite::new(self.target.to_string(), self.judge(&seen)))
    }

    async fn make(&self, number: usize, probe: &Probe) -> Made {
        let mark = self.run.of(number);
        if probe.purpose == Purpose::Http2 {
            let Some((_, config)) = &self.tls else { return Made::Untried };
            return match self.connector.open(&self.target, self.target.port, Some(config)).await {
                // Without the protocol in common TLS itself fails (RFC 7301 section 3.2).
                Err(ConnectError::Tls { .. }) => Made::Http2(http2::Http2::NotSpoken),
                Err(error) => Made::NotConnected(error),
                Ok(opened) if opened.http2 => {
                    let patience = self.connector.patience;
                    let (target, given) = (&self.target, &self.given);
                    let asking =
                        http2::ask(opened.connection, target, given, &self.origin, &mark, patience);
                    Made::Http2(asking.await)
                }
                Ok(_) => Made::Http2(http2::Http2::NotSpoken),
            };
        }
        let request = request::write(&self.target, &self.given, &probe.handshake, &mark);
        let tls = self.tls.as_ref().map(|(config, _)| config);
        let (port, tls) = match (&probe.purpose, self.plain_port) {
            (Purpose::Plain, Some(port)) => (port, None),
            _ => (self.target.port, tls),
        };
        match self.connector.open(&self.target, port, tls).await {
            Err(error) => Made::NotConnected(error),
            Ok(opened) => {
                let patience = self.connector.patience;
                let making = handshake::make(opened.connection, request, probe.dialogue, patience);
                Made::Attempt(Box::new(making.await))
            }
        }
    }

    /// Finds what arrived of each.
    async fn collect(&self, seen: &mut [Seen]) {
        let patience = match self.observer {
            Observer::Nobody => return,
            Observer::Backend => BACKEND_PATIENCE,
            Observer::Agent => {
                tokio::time::sleep(AGENT_SETTLES).await;
                AGENT_PATIENCE
            }
        };
        let end = Instant::now() + patience;
        for (number, one) in seen.iter_mut().enumerate() {
            let mark = self.run.of(number);
            let key = match &one.made {
                Made::Attempt(attempt) => attempt.request.key.as_str(),
                Made::Http2(_) => "",
                Made::NotConnected(_) | Made::Untried => continue,
            };
            let left = end.saturating_duration_since(Instant::now());
            one.arrived = self.arrivals.find(&[&mark, key], left).await;
        }
    }

    fn judge(&self, seen: &[Seen]) -> Vec<Finding> {
        let attempts = || {
            seen.iter().filter_map(|seen| match &seen.made {
                Made::Attempt(attempt) => Some(&**attempt),
                _ => None,
            })
        };
        let proxy = self.proxy.clone().or_else(|| attempts().find_map(proxy_of));
        probes::judge(&Facts {
            target: &self.target,
            origin: &self.origin,
            expect: &self.expect,
            observer: self.observer,
            proxy,
            seen,
        })
    }
}

/// The proxy that answered, as far as its answer says.
fn proxy_of(attempt: &Attempt) -> Option<String> {
    let server = attempt.verdict.as_ref()?.server.as_deref()?;
    pages::proxies().find(|known| *known == server).map(str::to_owned)
}
