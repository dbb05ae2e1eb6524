use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend, crossterm::event::KeyCode};

use super::{Screen, Table};
use crate::event::{
    Event, HandshakeEvent,
    sample::{accepted, closure, refused},
};

fn screen() -> Screen {
    Screen::new("joined the agent at /run/wstap/tail.sock".to_owned())
}

fn shown(screen: &mut Screen, table: &mut Table, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(table, Duration::from_secs(1), frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect();
    (0..height).map(row).collect()
}

fn table() -> Table {
    let mut table = Table::default();
    for event in [
        Event::Handshake(accepted()),
        Event::Handshake(refused()),
        Event::Handshake(refused()),
        Event::Closure(closure()),
    ] {
        table.add(&event, Duration::ZERO);
    }
    table
}

fn fields(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn each_origin_has_a_line_and_its_causes_below() {
    let lines = shown(&mut screen(), &mut table(), 120, 10);
    assert!(lines[0].contains("joined the agent at /run/wstap/tail.sock"), "{lines:#?}");
    assert!(lines[1].contains("accepted 1   failed 2   success 33.3%"), "{lines:#?}");
    assert_eq!(fields(&lines[3]), ["https://evil.example", "0", "2", "0.0%", "0", "0", "█"]);
    assert_eq!(fields(&lines[4]), ["origin-not-allowed", "2", "█"]);
    assert_eq!(fields(&lines[5]), ["https://app.example", "1", "0", "100.0%", "1", "1"]);
}

#[test]
fn keys_order_filter_and_scroll() {
    let (mut screen, mut table) = (screen(), table());
    let first = |screen: &mut Screen, table: &mut Table| {
        let lines = shown(screen, table, 120, 10);
        fields(&lines[3]).first().map(ToString::to_string)
    };
    assert_eq!(first(&mut screen, &mut table).as_deref(), Some("https://evil.example"));
    // Failed, success, accepted.
    screen.key(KeyCode::Char('s'));
    screen.key(KeyCode::Char('s'));
    assert_eq!(first(&mut screen, &mut table).as_deref(), Some("https://app.example"));
    screen.key(KeyCode::Char('f'));
    assert_eq!(first(&mut screen, &mut table).as_deref(), Some("https://evil.example"));
    assert!(!shown(&mut screen, &mut table, 120, 10).concat().contains("app.example"));
    screen.key(KeyCode::Down);
    assert_eq!(first(&mut screen, &mut table).as_deref(), Some("origin-not-allowed"));
    (0..100).for_each(|_| screen.key(KeyCode::PageDown));
    assert_eq!(first(&mut screen, &mut table).as_deref(), Some("origin-not-allowed"));
    screen.key(KeyCode::Home);
    assert_eq!(first(&mut screen, &mut table).as_deref(), Some("https://evil.example"));
}

#[test]
fn every_size_can_be_drawn() {
    for (width, height) in [(1, 1), (3, 2), (20, 4), (79, 24), (80, 1), (400, 100)] {
        shown(&mut screen(), &mut table(), width, height);
    }
    // The numbers are whole on a terminal of the usual size.
    let lines = shown(&mut screen(), &mut table(), 80, 24);
    assert!(lines[2].contains("ACCEPTED") && lines[2].contains("ABNORMAL"), "{lines:#?}");
    assert!(lines[3].contains("33") || lines[3].contains("0.0%"), "{lines:#?}");
}

#[test]
fn what_a_terminal_acts_on_is_shown_and_not_sent() {
    let mut table = Table::default();
    let hostile = "https://\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}x\r\n";
    table.add(
        &Event::Handshake(HandshakeEvent { origin: Some(hostile.to_owned()), ..refused() }),
        Duration::ZERO,
    );
    let lines = shown(&mut screen(), &mut table, 160, 8).concat();
    assert!(lines.contains(r"https://\u{1b}[2J"), "{lines}");
    assert!(!lines.chars().any(|shown| shown.is_control() || shown == '\u{202e}'), "{lines:?}");
}
