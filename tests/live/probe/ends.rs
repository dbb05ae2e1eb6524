//! How connections over unix sockets end.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wstap_tests::agent::Agent;
use wstap_tests::{PATIENCE, frames, http, scratch};

use super::{ensure_no_loss, has_probes};
use crate::stage::alone;

/// A client and a server, and their listener's name.
struct Pair {
    client: UnixStream,
    server: UnixStream,
}

struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("wstap-ends-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    /// A connection with a request on its way: the server has read it.
    fn asked(&self, path: &str) -> Result<Pair> {
        let mut client = UnixStream::connect(&self.path)?;
        let (mut server, _) = self.listener.accept()?;
        for end in [&client, &server] {
            end.set_read_timeout(Some(PATIENCE))?;
        }
        client.write_all(http::upgrade(path, "here.example", "https://app.example").as_bytes())?;
        head(&mut server)?;
        Ok(Pair { client, server })
    }

    /// An accepted handshake.
    fn open(&self, path: &str) -> Result<Pair> {
        let mut pair = self.asked(path)?;
        pair.server.write_all(http::ACCEPTED)?;
        head(&mut pair.client)?;
        Ok(pair)
    }
}

/// Reads a head and nothing behind it.
fn head(from: &mut UnixStream) -> Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(())
}

fn message(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81, text.len() as u8];
    frame.extend(text);
    frame
}

/// Code, whether clean, initiator and how, of the server's end.
type End = (u64, bool, &'static str, &'static str);

fn make(listener: &Listener) -> Result<Vec<(&'static str, End)>> {
    let mut made = Vec::new();
    let close = [0x88, 2, 0x03, 0xe9];

    let Pair { mut client, mut server } = listener.open("/by-server")?;
    server.write_all(&message(b"hello"))?;
    server.write_all(&close)?;
    client.read_exact(&mut [0; 11])?;
    client.write_all(&frames::frame(8, &1001_u16.to_be_bytes()))?;
    server.read_exact(&mut [0; 8])?;
    drop(server);
    drop(client);
    made.push(("/by-server", (1001, true, "local", "close-frame")));

    let Pair { client, mut server } = listener.open("/client-gone")?;
    drop(client);
    ensure!(server.read(&mut [0; 9])? == 0);
    drop(server);
    made.push(("/client-gone", (1006, false, "peer", "fin")));

    let Pair { client, server } = listener.open("/client-gone-unread")?;
    drop(client);
    drop(server);
    made.push(("/client-gone-unread", (1006, false, "peer", "fin")));

    let Pair { mut client, server } = listener.open("/server-gone")?;
    drop(server);
    ensure!(client.read(&mut [0; 9])? == 0);
    drop(client);
    made.push(("/server-gone", (1006, false, "local", "fin")));

    let Pair { mut client, server } = listener.open("/server-shuts-down")?;
    server.shutdown(Shutdown::Write)?;
    ensure!(client.read(&mut [0; 9])? == 0);
    drop(client);
    drop(server);
    made.push(("/server-shuts-down", (1006, false, "local", "fin")));

    // To close with bytes unread breaks the connection off for the other end.
    let Pair { mut client, server } = listener.open("/server-breaks-off")?;
    client.write_all(&frames::frame(1, b"never read"))?;
    drop(server);
    let error = client.read(&mut [0; 9]).err().context("no error")?;
    ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "{error}");
    drop(client);
    made.push(("/server-breaks-off", (1006, false, "local", "rst")));
    Ok(made)
}

#[test]
fn connections_over_unix_sockets() -> Result<()> {
    if !has_probes()? {
        return Ok(());
    }
    let _alone = alone();
    let folder = scratch("probe-ends")?;
    let listener = Listener::new()?;
    let agent = Agent::start(&folder, &[])?;
    let tail = agent.tail(&["--all", "--closures"])?;
    let made = make(&listener)?;
    let unanswered = listener.asked("/unanswered")?;
    drop(unanswered.server);
    drop(unanswered.client);
    let gave_up = listener.asked("/gave-up")?;
    drop(gave_up.client);
    drop(gave_up.server);
    ensure_no_loss(&agent)?;
    let name = format!("unix:{}", listener.path.display());
    let own = |event: &serde_json::Value| {
        [&event["local"], &event["peer"]].contains(&&name.as_str().into())
    };
    let events = tail.until_quiet(Duration::from_secs(4), own)?;
    ensure_ends(&listener.path, &events, &made)?;

    for (path, cause) in [("/unanswered", "unanswered"), ("/gave-up", "client-gave-up")] {
        let told: Vec<_> = events
            .iter()
            .filter(|event| event["path"] == path && event["role"] == "server")
            .collect();
        ensure!(told.len() == 1 && told[0]["outcome"] == "unanswered", "{told:#?}");
        ensure!(told[0]["cause"] == cause, "{told:#?}");
    }
    let _ = std::fs::remove_file(&listener.path);
    agent.stop()
}

fn ensure_ends(
    socket: &Path,
    events: &[serde_json::Value],
    made: &[(&'static str, End)],
) -> Result<()> {
    let name = format!("unix:{}", socket.display());
    for (path, (code, clean, initiator, by)) in made {
        let told: Vec<_> = events
            .iter()
            .filter(|event| event["type"] == "closure" && event["path"] == *path)
            .collect();
        ensure!(told.len() == 2, "{path}: {told:#?}");
        for closure in told {
            let other = if *initiator == "local" { "peer" } else { "local" };
            let (own, end) = match closure["role"].as_str() {
                Some("server") => (*initiator, "local"),
                _ => (other, "peer"),
            };
            ensure!(closure[end] == name.as_str(), "{closure:#}");
            ensure!(closure["code"] == *code && closure["clean"] == *clean, "{closure:#}");
            ensure!(closure["initiator"] == own && closure["by"] == *by, "{closure:#}");
        }
    }
    Ok(())
}
