//! The client: connections through TLS and proxies, handshakes with exact bytes, and frames.

pub mod connect;
pub mod frame;
pub mod handshake;
pub mod http2;
pub mod request;
pub mod tls;

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection, with or without TLS.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection of any kind.
pub type Connection = Box<dyn Wire>;
