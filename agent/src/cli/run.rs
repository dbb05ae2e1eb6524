//! `wstap run`: the agent.
//!
//! In: settings. Out: exit code. Binds first, so that a port in use is told before anything is attached; attaches and
//! gives up its privileges while there is one thread only, because they are each thread's own; then captures on a
//! thread of its own until SIGTERM, SIGINT or an error.

use std::{fs::File, io, os::fd::AsFd as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};

use self::ready::ReadyFile;
use super::{Capture, Pipeline, RunArgs, print};
use crate::{
    config::Settings,
    sink::{Servers, Sinks},
};

/// Threads that serve readers and scrapes: a slow scrape holds up nobody.
const SERVER_THREADS: usize = 2;
/// How long the capture may take to detach before the agent ends anyway; the kernel detaches then.
const DETACH_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn run(args: RunArgs, pipeline: Pipeline) -> anyhow::Result<()> {
    let settings = Settings::resolve(args.options, args.file.config.as_deref())?;
    if args.check_config {
        return print(settings.to_string().as_bytes());
    }
    super::log::to_stderr("info");
    let ready_file = ReadyFile::new(settings.ready_file.clone())?;
    let mut sinks = Sinks::new(&settings)?;
    let servers = Servers::bind(&settings)?;
    let capture = (pipeline.attach)(&settings)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(SERVER_THREADS)
        .thread_name("serve")
        .enable_all()
        .build()
        .context("cannot start the server threads")?;
    // Without a buffer: a line is written whole and at once, or its loss is counted.
    let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    sinks.write_events(&settings, out).context("cannot start to write events")?;
    let in_runtime = runtime.enter();
    if let Some(sending) = sinks.send_events(&settings)? {
        runtime.spawn(sending);
    }
    drop(in_runtime);
    let result = runtime.block_on(serve(settings, Arc::new(sinks), &servers, capture, ready_file));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(
    settings: Settings,
    sinks: Arc<Sinks>,
    servers: &Servers,
    capture: Capture,
    ready_file: ReadyFile,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(announce(
        Arc::clone(&sinks),
        format!(
            "metrics on http://{}/metrics, live tail on {}",
            servers.metrics_addr()?,
            settings.socket.display()
        ),
        ready_file.clone(),
    ));
    let (stop, stopped) = watch::channel(false);
    let (ended, mut captured) = oneshot::channel();
    let for_capture = Arc::clone(&sinks);
    std::thread::Builder::new().name("capture".to_owned()).spawn(move || {
        // The receiver is gone only when the agent is ending anyway.
        let _ = ended.send(capture(for_capture, stopped));
    })?;
    let result = |ended: Result<anyhow::Result<()>, _>| {
        ended.unwrap_or_else(|_| Err(anyhow::anyhow!("the capture broke down: please report this")))
    };
    tokio::select! {
        served = servers.serve(sinks) => served.context("cannot serve metrics any longer")?,
        ended = &mut captured => return result(ended),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.send_replace(true);
    if let Ok(ended) = tokio::time::timeout(DETACH_TIMEOUT, captured).await {
        return result(ended);
    }
    tracing::warn!(
        "the capture did not end within {} s: what it had not told yet is lost",
        DETACH_TIMEOUT.as_secs()
    );
    Ok(())
}

/// Says once that the agent is ready, in the log and by the file that was asked for.
async fn announce(sinks: Arc<Sinks>, what: String, file: ReadyFile) {
    sinks.ready().await;
    tracing::info!("ready: {what}");
    file.create();
}

mod ready;
#[cfg(test)]
mod tests;
