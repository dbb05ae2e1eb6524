//! `wstap top`: a live table in the terminal, by origin and cause.
//!
//! In: events of the running agent, or of a capture of our own, and keys. Out: the terminal, which is as it
//! was when the command ends, in whatever way.

mod screen;
mod table;

use std::{
    io::{self, IsTerminal as _},
    os::fd::AsFd as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        terminal::disable_raw_mode,
    },
};
use signal_hook::consts::{SIGHUP, SIGTERM};

use self::{screen::Screen, table::Table};
use super::{Pipeline, TopArgs, gone::has_gone, source::Source};
use crate::{config::Settings, event::RoleName, sink::filter::Filter};

/// The table is drawn anew so often, and at every key.
const REDRAW: Duration = Duration::from_millis(250);

/// How long the screen may take to end after a signal. A terminal that takes no more output holds it up for ever.
const GRACE: Duration = Duration::from_secs(1);

/// Both threads' view of the table.
type Shared = Arc<Mutex<Table>>;

pub(super) fn run(args: TopArgs, pipeline: Pipeline) -> anyhow::Result<()> {
    ensure!(
        io::stdout().is_terminal() && io::stdin().is_terminal(),
        "wstap top needs a terminal: for a pipe or a file use wstap tail"
    );
    let settings = Settings::resolve(args.options.into(), args.file.config.as_deref())?;
    let filter = Filter {
        all: true,
        closures: true,
        origin: args.origin,
        path: args.path,
        role: if args.role.is_empty() { vec![RoleName::Server] } else { args.role },
        ..Filter::default()
    };
    let end = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&end))?;
    }
    end_with_the_terminal(Arc::clone(&end));
    let source = Source::find(&settings)?;
    // On the terminal a line of the log would stand across the table.
    if source.captures() && !io::stderr().is_terminal() {
        super::log::to_stderr("warn");
    }
    let mut screen = Screen::new(source.to_string());
    let table = Shared::default();
    let began = Instant::now();
    let events = {
        let table = Arc::clone(&table);
        thread::Builder::new().name("events".to_owned()).spawn(move || {
            source.each("top", &settings, pipeline, &filter, &mut |event| {
                locked(&table).add(&event, began.elapsed());
                true
            })
        })?
    };
    // It sets a panic hook, too, that puts the terminal right.
    let mut terminal = ratatui::try_init().context("cannot use this terminal")?;
    let shown = show(&mut terminal, &mut screen, &table, began, &events, &end);
    ratatui::restore();
    shown?;
    if !events.is_finished() {
        // The user's wish; the kernel detaches what a capture attached.
        return Ok(());
    }
    let ended = events.join();
    ended.unwrap_or_else(|_| Err(anyhow::anyhow!("the capture broke down: please report this")))
}

/// Draws and takes keys until the user or a signal ends it, or the events do.
fn show(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    table: &Shared,
    began: Instant,
    events: &JoinHandle<anyhow::Result<()>>,
    end: &AtomicBool,
) -> io::Result<()> {
    while !end.load(Ordering::Relaxed) && !events.is_finished() {
        terminal.draw(|frame| screen.draw(&mut locked(table), began.elapsed(), frame))?;
        let ready = match event::poll(REDRAW) {
            // A signal: the loop looks which.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            ready => ready?,
        };
        // A new size is drawn for at the next turn.
        if ready
            && let Input::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
        {
            if quits(key) {
                break;
            }
            screen.key(key.code);
        }
    }
    Ok(())
}

/// Ends the process when its terminal goes: a terminal without another end is readable for ever and has nothing to
/// read, so who waits for a key never comes back. Also when a signal came and the screen does not end.
fn end_with_the_terminal(end: Arc<AtomicBool>) {
    thread::spawn(move || {
        while !has_gone(io::stdin().as_fd(), Some(REDRAW)) {
            if end.load(Ordering::Relaxed) {
                thread::sleep(GRACE);
                // It cannot be told when it fails: nothing can be shown there.
                let _ = disable_raw_mode();
                break;
            }
        }
        std::process::exit(0);
    });
}

fn quits(key: KeyEvent) -> bool {
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
    interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

fn locked(table: &Shared) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
