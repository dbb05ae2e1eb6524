//! WebSockets over HTTP/2 (RFC 8441): is extended CONNECT offered, and does it work?

use std::time::Duration;

use bytes::Bytes;
use h2::{client, ext::Protocol};
use http::{Method, Request, Version};
use tokio::time::timeout;

use super::{Connection, request::Given};
use crate::audit::{mark, target::Target};

/// How long the server's SETTINGS may take, in steps of this.
const STEP: Duration = Duration::from_millis(20);
/// At most so many steps.
const STEPS: u32 = 50;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Http2 {
    /// The server chose another protocol, or none.
    NotSpoken,
    /// HTTP/2 is spoken, extended CONNECT is not offered: browsers open WebSockets by HTTP/1.1.
    NotOffered,
    /// The stream was opened.
    Accepted,
    /// The server answered otherwise.
    Refused {
        /// The status.
        status: u16,
    },
    /// The stream or the connection broke.
    Broken {
        /// What the library said.
        reason: String,
    },
}

/// Asks on a connection that was made for HTTP/2.
pub async fn ask(
    connection: Connection,
    target: &Target,
    given: &Given,
    origin: &str,
    mark: &str,
    patience: Duration,
) -> Http2 {
    match timeout(patience, ask_unbounded(connection, target, given, origin, mark)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Http2::Broken { reason: error.to_string() },
        Err(_) => Http2::Broken { reason: "no answer".to_owned() },
    }
}

async fn ask_unbounded(
    connection: Connection,
    target: &Target,
    given: &Given,
    origin: &str,
    mark: &str,
) -> Result<Http2, h2::Error> {
    let (mut sender, driver) = client::Builder::new().handshake::<_, Bytes>(connection).await?;
    let driver = tokio::spawn(driver);
    let found = async {
        // The server's first SETTINGS say whether it takes extended CONNECT (RFC 8441 section 3).
        let mut steps = 0;
        while !sender.is_extended_connect_protocol_enabled() {
            if steps == STEPS || driver.is_finished() {
                return Ok(Http2::NotOffered);
            }
            steps += 1;
            tokio::time::sleep(STEP).await;
        }
        let scheme = if target.secure { "https" } else { "http" };
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .version(Version::HTTP_2)
            .uri(format!("{scheme}://{}{}", target.authority(), target.request_target()))
            .header("origin", origin)
            .header("sec-websocket-version", "13")
            .header(mark::FIELD_LOWER, mark)
            .extension(Protocol::from_static("websocket"));
        if let Some(cookie) = &given.cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in &given.headers {
            request = request.header(name, value);
        }
        let request = match request.body(()) {
            Ok(request) => request,
            Err(error) => return Ok(Http2::Broken { reason: error.to_string() }),
        };
        sender = sender.ready().await?;
        let (response, mut stream) = sender.send_request(request, false)?;
        let status = response.await?.status();
        // The end of the stream is the end of the WebSocket.
        let _ = stream.send_data(Bytes::new(), true);
        Ok(if status.is_success() {
            Http2::Accepted
        } else {
            Http2::Refused { status: status.as_u16() }
        })
    }
    .await;
    driver.abort();
    found
}
