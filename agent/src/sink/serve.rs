//! The servers behind the sinks: HTTP and the live-tail socket, on one tokio runtime.
//!
//! In: settings. Out: [`Servers`], bound and then served until they are dropped.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::{TcpListener, UnixListener};

use super::{
    Sinks,
    bind::{self, BindError, TailSocket},
    http, tail,
};
use crate::config::Settings;

/// What was summed up is told so often when no event comes.
const TICK: Duration = Duration::from_secs(1);

/// The bound listeners. Dropping them closes them and removes the socket's file.
#[derive(Debug)]
pub struct Servers {
    metrics: std::net::TcpListener,
    tail: TailSocket,
}

impl Servers {
    /// Binds both listeners; nothing is served yet.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        let metrics = bind::metrics(settings.metrics_addr)?;
        let tail = TailSocket::bind(&settings.socket)?;
        Ok(Self { metrics, tail })
    }

    /// The address of the metrics listener, with the port that the system chose for port 0.
    pub fn metrics_addr(&self) -> io::Result<SocketAddr> {
        self.metrics.local_addr()
    }

    /// Serves for as long as it is polled; fails when it cannot begin.
    pub async fn serve(&self, sinks: Arc<Sinks>) -> io::Result<()> {
        let metrics = self.metrics.try_clone()?;
        metrics.set_nonblocking(true)?;
        let metrics = TcpListener::from_std(metrics)?;
        let tail = UnixListener::from_std(self.tail.listener.try_clone()?)?;
        tokio::select! {
            () = http::serve(metrics, Arc::clone(&sinks)) => {}
            () = tick(Arc::clone(&sinks)) => {}
            () = tail::accept(tail, sinks) => {}
        }
        Ok(())
    }
}

/// Lets the sinks tell what is due, for as long as it is polled.
async fn tick(sinks: Arc<Sinks>) {
    loop {
        tokio::time::sleep(TICK).await;
        sinks.tick(false);
    }
}

#[cfg(test)]
mod tests;
