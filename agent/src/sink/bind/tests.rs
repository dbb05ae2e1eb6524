use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
};

use super::{BindError, TailSocket, metrics};

#[test]
fn a_port_in_use_is_told_with_what_to_choose() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = metrics(taken.local_addr().unwrap()).unwrap_err();
    assert!(matches!(error, BindError::PortInUse(_)), "{error}");
    assert!(error.to_string().ends_with("choose another --metrics-addr"), "{error}");
}

#[test]
fn an_address_of_another_host_is_told() {
    let error = metrics("192.0.2.1:9843".parse().unwrap()).unwrap_err();
    assert!(matches!(error, BindError::Address(..)), "{error}");
}

#[test]
fn the_socket_and_its_directory_are_closed_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wstap/tail.sock");
    let socket = TailSocket::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777 & !0o750, 0);
    drop(socket);
    assert!(!path.exists(), "the file goes with the agent");
}

#[test]
fn a_directory_that_everyone_may_write_to_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let error = TailSocket::bind(&directory.path().join("tail.sock")).unwrap_err();
    assert!(matches!(error, BindError::UnsafeDirectory(_)), "{error}");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o1777)).unwrap();
    TailSocket::bind(&directory.path().join("tail.sock")).unwrap();
}

#[test]
fn a_live_agents_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tail.sock");
    let first = TailSocket::bind(&path).unwrap();
    let error = TailSocket::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::SocketInUse(_)), "{error}");
    assert!(error.to_string().contains("--socket and --metrics-addr"), "{error}");
    UnixStream::connect(&path).unwrap();
    drop(first);
}

#[test]
fn what_a_dead_agent_left_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tail.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _socket = TailSocket::bind(&path).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tail.sock");
    fs::write(&path, "mine").unwrap();
    let error = TailSocket::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::NotASocket(_)), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn the_socket_of_a_successor_outlives_us() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tail.sock");
    let ours = TailSocket::bind(&path).unwrap();
    fs::rename(&path, directory.path().join("moved.sock")).unwrap();
    let theirs = TailSocket::bind(&path).unwrap();
    drop(ours);
    UnixStream::connect(&path).unwrap();
    drop(theirs);
}
