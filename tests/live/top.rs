//! `wstap top` in a real terminal (tmux), under real traffic.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use wstap_tests::agent::binary;
use wstap_tests::{http, wait_for};

use crate::stage::Stage;

/// A tmux server of the test's own with one shell in it.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn start(stage: &Stage) -> Result<Self> {
        Self::start_as(stage, "tmux")
    }

    fn start_as(stage: &Stage, name: &str) -> Result<Self> {
        let terminal = Self { socket: stage.folder.join(name) };
        terminal.tmux(&["new-session", "-d", "-x", "140", "-y", "30", "env PS1='$ ' sh"])?;
        Ok(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut tmux = Command::new("tmux");
        // A terminal that is none, like that of a service, is none for tmux either.
        tmux.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        tmux.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(arguments);
        let output = tmux.output().context("tmux: `cargo xtask setup` installs it")?;
        ensure!(output.status.success(), "tmux {arguments:?}: {output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Types a line.
    fn line(&self, text: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", text])?;
        self.key("Enter")
    }

    fn key(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    fn shown(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) -> Result<String> {
        let mut last = String::new();
        wait_for(what, || {
            last = self.shown()?;
            Ok(holds(&last).then(|| last.clone()))
        })
        .with_context(|| last.clone())
    }

    /// The terminal is as it was: the table is gone, and what is typed is echoed and edited.
    fn is_restored(&self) -> Result<()> {
        wait_for("the terminal's own screen", || {
            let alternate = self.tmux(&["display-message", "-p", "#{alternate_on}"])?;
            Ok((alternate.trim() == "0").then_some(()))
        })?;
        self.line("stty -a; echo end-of-$((40 + 2))")?;
        let modes = self.wait_until("the shell", |text| text.contains("end-of-42"))?;
        let has = |mode: &str| modes.split([' ', ';', '\n']).any(|word| word == mode);
        ensure!(has("icanon") && has("echo") && has("isig"), "{modes}");
        self.line("clear")?;
        self.wait_until("a clear screen", |text| !text.contains("end-of-")).map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.tmux(&["kill-server"]);
    }
}

fn visit(stage: &Stage, path: &str, origin: &str) -> Result<()> {
    http::ask(stage.server(), http::upgrade(path, "here.example", origin).as_bytes())?;
    Ok(())
}

/// The fields of the line that begins with this name.
fn fields<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let of = |line: &'a str| line.split_whitespace().collect::<Vec<_>>();
    text.lines().map(of).find(|fields| fields.first() == Some(&name))
}

#[test]
fn the_table_follows_the_traffic_and_the_keys_and_leaves_the_terminal_as_it_was() -> Result<()> {
    let stage = Stage::new("top", &[])?;
    let terminal = Terminal::start(&stage)?;
    let top = format!("{} top --socket {}", binary()?.display(), stage.agent.socket().display());
    terminal.line(&top)?;
    terminal.wait_until("the table", |text| text.contains("ORIGIN, CAUSE"))?;
    stage.agent.wait_for_metrics("the table to join", |metrics| {
        metrics.count("wstap_tail_readers", &[]) == 2
    })?;
    for _ in 0..3 {
        visit(&stage, "/accept", "https://good.example")?;
        visit(&stage, "/reject/403", "https://bad.example")?;
    }
    visit(&stage, "/reject/403", "https://good.example")?;
    // A terminal would clear itself and take another title.
    visit(&stage, "/reject/403\u{1b}[2J", "https://\u{1b}[2J\u{1b}]0;owned\u{7}")?;
    let text = terminal.wait_until("the counts", |text| {
        let is = |name: &str, counts: &[&str]| {
            fields(text, name).is_some_and(|fields| fields.get(1..4) == Some(counts))
        };
        is("https://bad.example", &["0", "3", "0.0%"])
            && is("https://good.example", &["3", "1", "75.0%"])
            && text.contains(r"https://\u{1b}[2J\u{1b}]0;owned")
    })?;
    ensure!(text.contains("joined the agent at"), "{text}");
    ensure!(text.contains('█') || text.contains('▂'), "no failures over time: {text}");
    // Every connection ended without a close frame.
    terminal.wait_until("the closures", |text| {
        fields(text, "https://good.example")
            .is_some_and(|fields| fields.get(4..6) == Some(&["3", "3"][..]))
    })?;

    terminal.key("s")?;
    terminal.key("s")?;
    terminal.wait_until("the order by accepted", |text| {
        let place = |name: &str| text.find(name);
        text.contains("order: accepted")
            && place("https://good.example") < place("https://bad.example")
    })?;
    // A smaller window, and a larger one.
    terminal.tmux(&["resize-window", "-x", "60", "-y", "8"])?;
    terminal.wait_until("a small table", |text| {
        text.contains("https://good.example") && text.lines().count() <= 8
    })?;
    terminal.tmux(&["resize-window", "-x", "150", "-y", "40"])?;
    terminal.wait_until("a large table", |text| {
        text.lines().any(|line| line.starts_with("q quit")) && text.lines().count() == 40
    })?;
    terminal.key("q")?;
    terminal.is_restored()?;

    let pid_file = stage.folder.join("top.pid");
    terminal.line(&format!("sh -c 'echo $$ > {}; exec {top}'", pid_file.display()))?;
    terminal.wait_until("the table again", |text| text.contains("ORIGIN, CAUSE"))?;
    let pid = std::fs::read_to_string(&pid_file)?.trim().parse()?;
    kill_process(Pid::from_raw(pid).context("a process id")?, Signal::TERM)?;
    terminal.is_restored()?;

    // The terminal goes, as a connection by ssh does.
    let other = Terminal::start_as(&stage, "lost")?;
    other.line(&format!("sh -c 'echo $$ > {}; exec {top}'", pid_file.display()))?;
    other.wait_until("the table elsewhere", |text| text.contains("ORIGIN, CAUSE"))?;
    let lost: i32 = std::fs::read_to_string(&pid_file)?.trim().parse()?;
    drop(other);
    wait_for("the end of what has no terminal", || {
        Ok((!std::path::Path::new(&format!("/proc/{lost}")).exists()).then_some(()))
    })?;

    terminal.line(&top)?;
    terminal.wait_until("the table a third time", |text| text.contains("ORIGIN, CAUSE"))?;
    stage.agent.stop()?;
    let text = terminal.wait_until("the end of the agent", |text| text.contains("has ended"))?;
    // One line, which the terminal wraps.
    let said = text.split_whitespace().collect::<String>();
    ensure!(said.contains("startwstaptopagain"), "{text}");
    terminal.is_restored()
}
