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
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{self as input, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        terminal::disable_raw_mode,
    },
};
use signal_hook::consts::{SIGHUP, SIGTERM};

use self::{screen::Screen, table::Table};
use super::{Pipeline, TopArgs, gone::has_gone, source::Source};
use crate::{
    config::Settings,
    event::{Event, RoleName},
    sink::filter::Filter,
};

/// The table is drawn anew so often, and at every key.
const REDRAW: Duration = Duration::from_millis(250);

/// How long the screen may take to end after a signal. A terminal that takes no more output holds it up for ever.
const GRACE: Duration = Duration::from_secs(1);

/// Both threads' view of the table.
type Shared = Arc<Mutex<Table>>;

pub(super) fn run(args: TopArgs, pipeline: Pipeline) -> anyhow::Result<()> {
    ensure!(
        // With events on standard input the keys come from the terminal itself.
        io::stdout().is_terminal() && (args.input.is_some() || io::stdin().is_terminal()),
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
    let source = Source::find(&settings, args.input.as_deref(), &args.past)?;
    // On the terminal a line of the log would stand across the table.
    if source.captures() && !io::stderr().is_terminal() {
        super::log::to_stderr("warn");
    }
    let mut screen = Screen::new(source.to_string());
    let table = Shared::default();
    let time = Arc::new(Time::new());
    let stays = matches!(source, Source::StandardInput) || args.past.no_follow;
    let note = Arc::new(Mutex::new(None));
    let events = {
        let (table, time, note) = (Arc::clone(&table), Arc::clone(&time), Arc::clone(&note));
        thread::Builder::new().name("events".to_owned()).spawn(move || {
            let wanted = (&filter, &args.past);
            let read = source.each("top", &settings, pipeline, wanted, &mut |event, is_past| {
                let now = if is_past { time.of(&event) } else { time.now() };
                locked(&table).add(&event, now);
                true
            })?;
            *note.lock().unwrap_or_else(PoisonError::into_inner) = read;
            if !stays {
                return Ok(());
            }
            // What came is looked at until the user ends it.
            loop {
                thread::park();
            }
        })?
    };
    // It sets a panic hook, too, that puts the terminal right.
    let mut terminal = ratatui::try_init().context("cannot use this terminal")?;
    let shown = show(&mut terminal, &mut screen, &table, &time, &events, &end);
    ratatui::restore();
    shown?;
    if let Some(note) = note.lock().unwrap_or_else(PoisonError::into_inner).take() {
        super::complain(&note);
    }
    if !events.is_finished() {
        // The user's wish; the kernel detaches what a capture attached.
        return Ok(());
    }
    let ended = events.join();
    ended.unwrap_or_else(|_| Err(anyhow::anyhow!("the capture broke down: please report this")))
}

/// The table's time: it begins with the first event that is remembered, else with the command.
struct Time {
    began: Instant,
    /// By how much the first remembered event is older than the command, in milliseconds.
    behind: AtomicU64,
}

impl Time {
    fn new() -> Self {
        Self { began: Instant::now(), behind: AtomicU64::new(0) }
    }

    fn now(&self) -> Duration {
        self.began.elapsed() + Duration::from_millis(self.behind.load(Ordering::Relaxed))
    }

    /// When a remembered event happened; they come in their order.
    fn of(&self, event: &Event) -> Duration {
        let time = event.time().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        let Some(time) = time else { return self.now() };
        let ago = jiff::Timestamp::now().duration_since(time).as_millis();
        let ago = u64::try_from(ago).unwrap_or(0);
        if self.behind.load(Ordering::Relaxed) == 0 {
            self.behind.store(ago, Ordering::Relaxed);
        }
        self.now().saturating_sub(Duration::from_millis(ago))
    }
}

/// Draws and takes keys until the user or a signal ends it, or the events do.
fn show(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    table: &Shared,
    time: &Time,
    events: &JoinHandle<anyhow::Result<()>>,
    end: &AtomicBool,
) -> io::Result<()> {
    while !end.load(Ordering::Relaxed) && !events.is_finished() {
        terminal.draw(|frame| screen.draw(&mut locked(table), time.now(), frame))?;
        let ready = match input::poll(REDRAW) {
            // A signal: the loop looks which.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            ready => ready?,
        };
        // A new size is drawn for at the next turn.
        if ready
            && let Input::Key(key) = input::read()?
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
        while !has_gone(io::stdout().as_fd(), Some(REDRAW)) {
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
