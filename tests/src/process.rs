//! A program that ends when its guard goes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, wait_for};

/// How long a program may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// A program that Debian installs where only an administrator's path leads.
pub fn administrators(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    command
}

/// A started program. Dropping it sends SIGTERM, then SIGKILL.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to `NAME.log` in the folder.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log)?;
        command.stdout(output.try_clone()?);
        Self::spawn(name, command.stderr(output), log)
    }

    /// Starts a program whose standard output is read line by line; its standard error goes to
    /// `NAME.log`.
    pub fn start_with_lines(
        name: &str,
        command: &mut Command,
        folder: &Path,
    ) -> Result<(Self, Lines)> {
        let log = folder.join(format!("{name}.log"));
        command.stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut process = Self::spawn(name, command, log)?;
        let output = process.child.stdout.take().context("the output is piped")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok((process, Lines(lines)))
    }

    fn spawn(name: &str, command: &mut Command, log: PathBuf) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn().with_context(|| {
            format!("cannot start {name} ({})", command.get_program().display())
        })?;
        Ok(Self { child, name: name.to_owned(), log })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let name = self.name.clone();
        wait_for(&format!("the end of {name}"), || self.ended())
    }

    /// An error with its log when it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended early ({status}):\n{}", self.name, self.log());
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A stopped process takes SIGTERM only when it goes on.
            let asked = self.signal(Signal::CONT).and_then(|()| self.signal(Signal::TERM));
            let end = Instant::now() + GRACE;
            while asked.is_ok() && Instant::now() < end {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let _killed = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// The lines that a program prints, as they come.
#[derive(Debug)]
pub struct Lines(Receiver<String>);

impl Lines {
    /// The next line; an error when there is none in [`PATIENCE`] or ever.
    pub fn next(&self) -> Result<String> {
        self.0.recv_timeout(PATIENCE).context("no (more) line of output")
    }

    /// The lines until none has come for this long.
    pub fn until_quiet(&self, quiet: Duration) -> Vec<String> {
        std::iter::from_fn(|| self.next_within(quiet)).collect()
    }

    /// The next line, if it comes in the given time.
    pub fn next_within(&self, time: Duration) -> Option<String> {
        self.0.recv_timeout(time).ok()
    }
}
