//! `--agent SOCKET`: what arrived is read from the live tail of the agent on the backend's node.

use std::path::Path;

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use super::{Arrivals, Arrived};
use crate::{
    audit::mark::Run,
    event::{Event, HandshakeEvent, RoleName},
    sink::filter::Filter,
};

/// Joins the agent; from then on the handshakes of this run that it tells are kept.
pub async fn watch(socket: &Path, run: Run, arrivals: Arrivals) -> anyhow::Result<()> {
    let place = socket.display();
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!("cannot join the agent at {place}: start wstap run there, or run as a member of the socket's group")
    })?;
    let (reader, mut writer) = stream.into_split();
    let filter = Filter { all: true, ..Filter::default() };
    let line = serde_json::to_string(&filter)? + "\n";
    writer
        .write_all(line.as_bytes())
        .await
        .with_context(|| format!("the agent at {place} is gone"))?;
    tokio::spawn(async move {
        // Kept: to the agent a reader that stops writing has gone.
        let _writer = writer;
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(Event::Handshake(event)) = serde_json::from_str(&line) else { continue };
            if let Some((mark, arrived)) = arrived(&event).filter(|(mark, _)| run.made(mark)) {
                arrivals.put([mark], &arrived).await;
            }
        }
    });
    Ok(())
}

/// The last hop's leg is the one that a server of the node took; a proxy's own leg goes before it.
fn arrived(event: &HandshakeEvent) -> Option<(String, Arrived)> {
    let audit = event.audit.as_ref().filter(|_| event.role == RoleName::Server)?;
    let arrived = Arrived {
        target: event.path.clone(),
        method: audit.method.clone(),
        http11: audit.http11,
        fields: audit.fields.clone(),
        complete: false,
        at: event.time.clone(),
    };
    Some((audit.mark.clone(), arrived))
}
