//! A server that does byte for byte what a test says, where no real server would.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::Result;
use wstap_tests::http;

/// Serves one connection after another with the script, which starts behind the request's head.
/// Ends with the process.
pub(crate) fn serve(
    script: impl Fn(TcpStream) -> Result<()> + Send + 'static,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // What goes wrong here shows at the client.
            let _served = http::head(&mut stream).map_err(Into::into).and_then(|_| script(stream));
        }
    });
    Ok(address)
}
