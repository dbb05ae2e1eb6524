use std::time::Duration;

use super::{COLUMN, COLUMNS, ORIGINS, OTHER, Row, Table};
use crate::{
    diagnose::Cause,
    event::{
        ClosureEvent, Event, HandshakeEvent, MissedEvent, Outcome,
        sample::{accepted, closure, refused},
    },
};

fn from(origin: &str) -> Event {
    Event::Handshake(HandshakeEvent { origin: Some(origin.to_owned()), ..refused() })
}

fn row<'a>(table: &'a Table, origin: &str) -> &'a Row {
    table.origins().find(|(name, _)| *name == origin).unwrap().1
}

#[test]
fn what_came_is_counted_by_origin_and_cause() {
    let mut table = Table::default();
    for event in [
        Event::Handshake(accepted()),
        Event::Handshake(HandshakeEvent {
            origin: Some("HTTPS://App.Example:443".into()),
            cause: Some(Cause::HostRewritten),
            ..refused()
        }),
        Event::Handshake(HandshakeEvent { outcome: Outcome::Unobserved, ..accepted() }),
        Event::Closure(closure()),
        Event::Closure(ClosureEvent { code: 1000, ..closure() }),
        Event::Handshake(HandshakeEvent { origin: None, ..refused() }),
        Event::Missed(MissedEvent { missed: 7 }),
    ] {
        table.add(&event, Duration::ZERO);
    }
    let own = row(&table, "https://app.example");
    assert_eq!((own.accepted, own.failed.count, own.closed, own.abnormal), (1, 1, 2, 1));
    assert_eq!(own.success(), Some(0.5));
    assert_eq!(own.causes.get(&Some(Cause::HostRewritten)).unwrap().count, 1);
    assert_eq!(row(&table, "none").failed.count, 1);
    assert_eq!((table.all.accepted, table.all.failed.count), (1, 2));
    assert_eq!((table.unobserved, table.missed, table.folded), (1, 7, 0));
}

#[test]
fn failures_move_with_the_time_and_are_forgotten_at_its_end() {
    let mut table = Table::default();
    table.add(&from("https://a.example"), Duration::ZERO);
    table.add(&from("https://a.example"), COLUMN * 2);
    table.add(&from("https://a.example"), COLUMN * 2);
    let newest = |table: &Table| row(table, "https://a.example").failed.history.newest(4);
    assert_eq!(newest(&table), [0, 1, 0, 2]);
    table.pass(COLUMN * 3);
    assert_eq!(newest(&table), [1, 0, 2, 0]);
    let cause = &row(&table, "https://a.example").causes[&Some(Cause::OriginNotAllowed)];
    assert_eq!(cause.history.newest(4), [1, 0, 2, 0]);
    // A clock that stands still, or a machine that slept.
    table.pass(COLUMN * 3);
    assert_eq!(newest(&table), [1, 0, 2, 0]);
    table.pass(COLUMN * 1_000_000);
    assert_eq!(row(&table, "https://a.example").failed.history.newest(COLUMNS), [0; COLUMNS]);
    assert_eq!(row(&table, "https://a.example").failed.count, 3);
}

#[test]
fn origins_beyond_the_bound_are_counted_as_other() {
    let mut table = Table::default();
    for number in 0..ORIGINS + 1000 {
        table.add(&from(&format!("https://{number}.example")), Duration::ZERO);
    }
    table.add(&from("https://0.example"), Duration::ZERO);
    assert_eq!(table.origins().count(), ORIGINS + 1);
    assert_eq!(row(&table, OTHER).failed.count, 1000);
    assert_eq!(row(&table, "https://0.example").failed.count, 2);
    assert_eq!(table.folded, 1000);
}
