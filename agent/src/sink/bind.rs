//! The agent's listening sockets, bound before anything is attached to the kernel.
//!
//! In: addresses from the settings. Out: listeners, or one clear error: taken by whom and what to
//! choose instead.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use super::tail::SOCKET_MODE;

/// The mode of a directory that is created for the socket.
const DIRECTORY_MODE: u32 = 0o750;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Why a listener cannot be had. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port.
    #[error("cannot serve metrics on {0}: the port is in use: choose another --metrics-addr")]
    PortInUse(SocketAddr),
    /// The address is not this host's, or not allowed.
    #[error("cannot serve metrics on {0}: {1}: choose another --metrics-addr")]
    Address(SocketAddr, io::Error),
    /// Another agent answers on the socket.
    #[error(
        "cannot serve the live tail: another agent serves {0}: stop it, or choose another \
         --socket and --metrics-addr"
    )]
    SocketInUse(PathBuf),
    /// The path is taken by something that no agent left behind.
    #[error("cannot serve the live tail: {0} is there and is no socket: choose another --socket")]
    NotASocket(PathBuf),
    /// Anyone could replace the socket.
    #[error(
        "cannot serve the live tail: every user may write to {0}: take that right away (chmod o-w), \
         or choose a --socket elsewhere"
    )]
    UnsafeDirectory(PathBuf),
    /// The system refused.
    #[error(
        "cannot serve the live tail on {0}: {1}: choose a --socket in a directory that this user \
         may write to"
    )]
    Socket(PathBuf, io::Error),
}

/// Binds the TCP listener for `/metrics`.
pub(super) fn metrics(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => BindError::PortInUse(address),
        _ => BindError::Address(address, error),
    })
}

/// The live-tail socket; dropping it removes its file.
#[derive(Debug)]
pub(super) struct TailSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl TailSocket {
    /// Binds `path`, creating its directory where it is missing and removing what a dead agent left.
    pub(super) fn bind(path: &Path) -> Result<Self, BindError> {
        let refused = |error| BindError::Socket(path.to_owned(), error);
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(refused)?;
        let mode = fs::metadata(directory).map_err(refused)?.mode();
        // In a sticky directory (/tmp) others can write, but not replace what is ours.
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
            return Err(BindError::UnsafeDirectory(directory.to_owned()));
        }
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(refused)?;
        fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let inode = fs::symlink_metadata(path).map_err(refused)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode })
    }
}

impl Drop for TailSocket {
    fn drop(&mut self) {
        // Only our own: another agent may have taken the path meanwhile.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket of an agent that is gone; an error when the path is in use.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let refused = |error| BindError::Socket(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::SocketInUse(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(refused)
        }
        Err(error) => Err(refused(error)),
    }
}

#[cfg(test)]
mod tests;
