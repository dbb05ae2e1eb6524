//! The life of the agent around a capture that is only played.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser as _;

use crate::{
    cli::{Capture, Cli, Pipeline},
    config::Settings,
};

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("tail.sock")
    }

    fn ready_file(&self) -> PathBuf {
        self.directory.path().join("ready")
    }

    fn run(&self, attach: fn(&Settings) -> anyhow::Result<Capture>) -> ExitCode {
        let (socket, ready) = (self.socket(), self.ready_file());
        let arguments = ["wstap", "run", "--metrics-addr", "127.0.0.1:0", "--config", "/dev/null"];
        let arguments = arguments.map(std::ffi::OsString::from).into_iter().chain([
            "--socket".into(),
            socket.into_os_string(),
            "--ready-file".into(),
            ready.into_os_string(),
        ]);
        let capture = |_: &_, _: &mut dyn FnMut(_) -> bool| unreachable!();
        Cli::try_parse_from(arguments).unwrap().run(Pipeline {
            attach,
            capture,
            self_test: |_| unreachable!(),
        })
    }
}

fn exited_with(code: ExitCode, want: ExitCode) {
    assert_eq!(format!("{code:?}"), format!("{want:?}"));
}

#[test]
fn a_signal_stops_the_capture_and_nothing_is_left() {
    let place = Place::new();
    let code = place.run(|settings| {
        assert!(settings.socket.exists(), "the socket is bound before anything is captured");
        let ready_file = settings.ready_file.clone().unwrap();
        Ok(Box::new(move |sinks, stop| {
            sinks.set_ready();
            while !ready_file.exists() {
                std::thread::yield_now();
            }
            // SAFETY: raising a signal has no memory effects; the agent has its handler by now.
            assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGTERM) }, 0);
            while !*stop.borrow() {
                std::thread::yield_now();
            }
            Ok(())
        }))
    });
    exited_with(code, ExitCode::SUCCESS);
    assert!(!place.socket().exists());
    assert!(!place.ready_file().exists());
}

#[test]
fn a_capture_that_fails_ends_the_agent() {
    let place = Place::new();
    std::fs::write(place.ready_file(), "wstap is ready\n").unwrap();
    let code = place.run(|settings| {
        assert!(!settings.ready_file.as_ref().unwrap().exists(), "it would tell a lie");
        anyhow::bail!("cannot load the programs: run as root")
    });
    exited_with(code, ExitCode::FAILURE);
    assert!(!place.socket().exists());
    let later = place.run(|_| Ok(Box::new(|_, _| anyhow::bail!("cannot read the ring"))));
    exited_with(later, ExitCode::FAILURE);
    assert!(!place.socket().exists());
}

#[test]
fn a_capture_that_breaks_down_ends_the_agent() {
    let place = Place::new();
    exited_with(place.run(|_| Ok(Box::new(|_, _| panic!("as a test")))), ExitCode::FAILURE);
    assert!(!place.socket().exists());
}
