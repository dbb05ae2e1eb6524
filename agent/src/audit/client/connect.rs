//! A connection to the first hop of the chain: by name or as `--resolve` says, through a proxy or not.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use base64::Engine as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::Connection;
use crate::audit::target::Target;

/// The longest answer to a CONNECT, in bytes.
const MAX_PROXY_HEAD: usize = 16 * 1024;

/// Why there is no connection. Each message ends with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error(
        "{host} cannot be resolved ({reason}): check the name, or give its address with --resolve"
    )]
    Resolve {
        /// The name.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// Nothing listens there, or nothing answers.
    #[error("{address} cannot be reached ({reason}): check address and port")]
    Connect {
        /// The address that was tried last.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The HTTP proxy does not open a tunnel.
    #[error("the proxy {proxy} does not open a tunnel ({reason}): check --proxy")]
    Proxy {
        /// Its address.
        proxy: String,
        /// What it said.
        reason: String,
    },
    /// TLS fails.
    #[error(
        "TLS fails ({reason}): trust its authority with --ca, or any certificate with --insecure"
    )]
    Tls {
        /// What is wrong.
        reason: String,
    },
}

/// An entry of `--resolve HOST:PORT:ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    host: String,
    port: u16,
    address: std::net::IpAddr,
}

impl std::str::FromStr for Resolve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "write HOST:PORT:ADDRESS, for example app.example.com:443:10.0.0.7".to_owned();
        let (host, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (port, address) = rest.split_once(':').ok_or_else(wrong)?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port: port.parse().map_err(|_| wrong())?,
            address: address.parse().map_err(|_| wrong())?,
        })
    }
}

/// An HTTP proxy on the way: `http://[USER:PASSWORD@]HOST:PORT`.
#[derive(Clone)]
pub struct HttpProxy {
    address: String,
    credentials: Option<String>,
}

/// Without the credentials.
impl std::fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address)
    }
}

impl std::str::FromStr for HttpProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write http://HOST:PORT".to_owned();
        let uri: http::Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?.as_str();
        if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err(
                "only proxies that are spoken to in plain HTTP: http://HOST:PORT".to_owned()
            );
        }
        let (credentials, address) =
            authority.rsplit_once('@').map_or((None, authority), |(c, a)| (Some(c), a));
        let port = if uri.port_u16().is_some() { "" } else { ":80" };
        Ok(Self {
            address: format!("{address}{port}"),
            credentials: credentials.map(str::to_owned),
        })
    }
}

/// Which addresses may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Both, as the resolver orders them.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// How connections are made.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Entries that go before the resolver.
    pub resolve: Vec<Resolve>,
    /// An HTTP proxy on the way.
    pub proxy: Option<HttpProxy>,
    /// Which addresses may be used.
    pub family: Family,
    /// The name that TLS asks for, when it is not the URL's.
    pub sni: Option<String>,
    /// How long each step may take.
    pub patience: Duration,
}

/// A connection, and what was agreed on for it.
pub struct Opened {
    /// The connection.
    pub connection: Connection,
    /// Both ends speak HTTP/2 on it (ALPN).
    pub http2: bool,
}

impl Connector {
    /// A connection to the target's host at `port`; with TLS when there is a configuration for it.
    pub async fn open(
        &self,
        target: &Target,
        port: u16,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Opened, ConnectError> {
        let stream = match &self.proxy {
            Some(proxy) => self.tunnel(proxy, target, port).await?,
            None => self.direct(target, port).await?,
        };
        let Some(config) = tls else {
            return Ok(Opened { connection: Box::new(stream), http2: false });
        };
        let failed = |reason: String| ConnectError::Tls { reason };
        let name = self.sni.as_deref().unwrap_or(target.name());
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| failed(format!("{name:?} is no name for a certificate")))?;
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        match timeout(self.patience, connecting).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok(Opened { connection: Box::new(stream), http2 })
            }
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("no answer".to_owned())),
        }
    }

    async fn direct(&self, target: &Target, port: u16) -> Result<TcpStream, ConnectError> {
        // The plain port of a host lies where its other one does, unless something else is said.
        let of_host = |entry: &&Resolve| entry.host == target.host || entry.host == target.name();
        let exact = self.resolve.iter().filter(of_host).find(|entry| entry.port == port);
        let named = exact.or_else(|| self.resolve.iter().find(of_host));
        let addresses = match named {
            Some(entry) => vec![SocketAddr::new(entry.address, port)],
            None => self.look_up((target.name(), port)).await.map_err(|error| {
                ConnectError::Resolve { host: target.name().to_owned(), reason: error.to_string() }
            })?,
        };
        self.first(&addresses).await
    }

    async fn look_up(&self, name: (&str, u16)) -> io::Result<Vec<SocketAddr>> {
        let found = lookup_host(name).await?;
        let addresses: Vec<_> = found
            .filter(|address| match self.family {
                Family::Any => true,
                Family::V4 => address.is_ipv4(),
                Family::V6 => address.is_ipv6(),
            })
            .collect();
        if addresses.is_empty() {
            return Err(io::Error::other("no address of the wanted family"));
        }
        Ok(addresses)
    }

    /// The first address that takes a connection.
    async fn first(&self, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
        let mut failure = ConnectError::Connect { address: String::new(), reason: String::new() };
        for &address in addresses {
            let reason = match timeout(self.patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // What cannot be had costs time only.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer in {} s", self.patience.as_secs()),
            };
            failure = ConnectError::Connect { address: address.to_string(), reason };
        }
        Err(failure)
    }

    /// A tunnel by CONNECT (RFC 9110 section 9.3.6).
    async fn tunnel(
        &self,
        proxy: &HttpProxy,
        target: &Target,
        port: u16,
    ) -> Result<TcpStream, ConnectError> {
        let failed = |reason: String| ConnectError::Proxy { proxy: proxy.address.clone(), reason };
        let looking = lookup_host(proxy.address.as_str());
        let addresses: Vec<_> = looking.await.map_err(|error| failed(error.to_string()))?.collect();
        let mut stream = self.first(&addresses).await.map_err(|error| failed(error.to_string()))?;
        let authority = format!("{}:{port}", target.host);
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(credentials) = &proxy.credentials {
            let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
            request = request + "Proxy-Authorization: Basic " + &encoded + "\r\n";
        }
        request += "\r\n";
        let asking = async {
            stream.write_all(request.as_bytes()).await?;
            // Byte by byte: what follows the head is the tunnel's.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if head.len() >= MAX_PROXY_HEAD {
                    return Err(io::Error::other("a head without end"));
                }
                head.push(stream.read_u8().await?);
            }
            Ok(head)
        };
        let head = match timeout(self.patience, asking).await {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed("no answer".to_owned())),
        };
        let mut room = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut room);
        match response.parse(&head).map(|_| response.code) {
            Ok(Some(200..300)) => Ok(stream),
            Ok(Some(code)) => Err(failed(format!("it answers {code}"))),
            _ => Err(failed("its answer is no HTTP".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_secrets_of_a_proxy_not_shown() {
        let entry: Resolve = "App.example:8443:[::1]".parse().unwrap();
        assert_eq!(
            (&*entry.host, entry.port, entry.address.is_ipv6()),
            ("app.example", 8443, true)
        );
        for wrong in ["a:443", "a:x:127.0.0.1", "a:443:b"] {
            assert!(wrong.parse::<Resolve>().is_err(), "{wrong}");
        }
        let proxy: HttpProxy = "http://me:s3cret@proxy.example".parse().unwrap();
        assert_eq!(format!("{proxy:?}"), "proxy.example:80");
        assert!("https://proxy.example".parse::<HttpProxy>().is_err());
    }
}
