//! What `wstap top` shows: a heading, a row for each origin with its causes under it, and the keys.
//!
//! In: the table and keys. Out: a frame of any size.

use std::{
    cmp::{Ordering, Reverse},
    fmt::Write as _,
    time::Duration,
};

use ratatui::{
    Frame,
    crossterm::event::KeyCode,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
    widgets::Sparkline,
};

use super::table::{COLUMN, COLUMNS, Failures, History, ORIGINS, Row, Table};
use crate::{diagnose::Cause, sink::render::safe};

/// The longest name of the source, in characters.
const SOURCE: usize = 160;
/// The columns between the origin and the failures over time: title and width.
const NUMBERS: [(&str, u16); 5] =
    [("ACCEPTED", 9), ("FAILED", 9), ("SUCCESS", 8), ("CLOSED", 9), ("ABNORMAL", 9)];
/// The least width of the origin, and of the failures over time.
const LEAST: u16 = 20;

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Failed,
    Success,
    Accepted,
    Abnormal,
    Origin,
}

impl Order {
    const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Success => "success",
            Self::Accepted => "accepted",
            Self::Abnormal => "abnormal",
            Self::Origin => "origin",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Failed => Self::Success,
            Self::Success => Self::Accepted,
            Self::Accepted => Self::Abnormal,
            Self::Abnormal => Self::Origin,
            Self::Origin => Self::Failed,
        }
    }

    /// The worst or largest first; equal ones by name, so that rows stay where they are.
    fn compare(self, (a_name, a): (&str, &Row), (b_name, b): (&str, &Row)) -> Ordering {
        let by_number = match self {
            Self::Failed => b.failed.count.cmp(&a.failed.count),
            // Without a handshake there is no rate: last.
            Self::Success => a.success().unwrap_or(2.0).total_cmp(&b.success().unwrap_or(2.0)),
            Self::Accepted => b.accepted.cmp(&a.accepted),
            Self::Abnormal => b.abnormal.cmp(&a.abnormal),
            Self::Origin => Ordering::Equal,
        };
        by_number.then_with(|| a_name.cmp(b_name))
    }
}

/// How the table is shown.
#[derive(Debug)]
pub(super) struct Screen {
    source: String,
    order: Order,
    failing_only: bool,
    /// The first line shown.
    first: usize,
}

/// One line of the body.
struct Entry<'a> {
    name: Span<'a>,
    numbers: [String; NUMBERS.len()],
    history: &'a History,
}

impl Screen {
    /// The screen at the start; `source` says where the events come from.
    pub(super) const fn new(source: String) -> Self {
        Self { source, order: Order::Failed, failing_only: false, first: 0 }
    }

    /// Takes a key.
    pub(super) const fn key(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('f') => self.failing_only = !self.failing_only,
            KeyCode::Down | KeyCode::Char('j') => self.first = self.first.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.first = self.first.saturating_sub(1),
            KeyCode::PageDown => self.first = self.first.saturating_add(10),
            KeyCode::PageUp => self.first = self.first.saturating_sub(10),
            KeyCode::Home => self.first = 0,
            _ => {}
        }
    }

    /// Draws the table as it is at `now` after the start.
    pub(super) fn draw(&mut self, table: &mut Table, now: Duration, frame: &mut Frame<'_>) {
        table.pass(now);
        let [heading, titles, body, keys] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.heading(table, now), heading);
        let columns = columns(titles);
        for ((title, _), area) in NUMBERS.iter().zip(columns.iter().skip(1)) {
            frame.render_widget(Line::from(*title).right_aligned().bold(), *area);
        }
        let [name, .., history] = columns;
        frame.render_widget(Line::from("ORIGIN, CAUSE").bold(), name);
        let title = format!("FAILED, {} s a column", COLUMN.as_secs());
        frame.render_widget(Line::from(title).bold(), history);

        let entries = self.entries(table);
        // No further than to the last line.
        self.first = self.first.min(entries.len().saturating_sub(1));
        for (entry, area) in entries.into_iter().skip(self.first).zip(body.rows()) {
            entry.draw(area, frame);
        }
        let keys_line = format!(
            "q quit   s order: {}   f {}   up/down scroll",
            self.order.name(),
            if self.failing_only { "all origins" } else { "failing origins only" },
        );
        frame.render_widget(Line::from(keys_line).dim(), keys);
    }

    fn heading(&self, table: &Table, now: Duration) -> ratatui::text::Text<'static> {
        let Row { accepted, failed, closed, abnormal, .. } = &table.all;
        let mut counts = format!(
            "accepted {accepted}   failed {}   success {}   closed {closed}   abnormal {abnormal}",
            failed.count,
            percent(table.all.success()),
        );
        for (count, what) in [
            (table.unobserved, "unobserved"),
            (table.missed, "events missed: this reader was too slow"),
        ] {
            if count > 0 {
                let _ = write!(counts, "   {count} {what}");
            }
        }
        if table.folded > 0 {
            let _ = write!(
                counts,
                "   {} events of origins beyond {ORIGINS} under other",
                table.folded
            );
        }
        let source = Line::from(vec![
            "wstap top".bold(),
            format!("   {}   {} s", safe(&self.source, SOURCE), now.as_secs()).into(),
        ]);
        vec![source, counts.into()].into()
    }

    fn entries<'a>(&self, table: &'a Table) -> Vec<Entry<'a>> {
        let mut origins: Vec<_> =
            table.origins().filter(|(_, row)| !self.failing_only || row.failed.count > 0).collect();
        origins.sort_by(|a, b| self.order.compare(*a, *b));
        origins.into_iter().flat_map(|(origin, row)| of_origin(origin, row)).collect()
    }
}

/// The line of an origin and those of its causes, the most frequent first.
fn of_origin<'a>(origin: &'a str, row: &'a Row) -> Vec<Entry<'a>> {
    let mut causes: Vec<(&Option<Cause>, &Failures)> = row.causes.iter().collect();
    causes.sort_by_key(|(_, failures)| Reverse(failures.count));
    let first = Entry {
        // Normalised or escaped already.
        name: Span::styled(origin, Style::new().bold()),
        numbers: [
            row.accepted.to_string(),
            row.failed.count.to_string(),
            percent(row.success()),
            row.closed.to_string(),
            row.abnormal.to_string(),
        ],
        history: &row.failed.history,
    };
    let below = causes.into_iter().map(|(cause, failures)| Entry {
        name: Span::styled(
            format!("  {}", cause.map_or("none", Cause::code)),
            Style::new().fg(Color::Magenta),
        ),
        numbers: [
            String::new(),
            failures.count.to_string(),
            String::new(),
            String::new(),
            String::new(),
        ],
        history: &failures.history,
    });
    std::iter::once(first).chain(below).collect()
}

impl Entry<'_> {
    fn draw(self, area: Rect, frame: &mut Frame<'_>) {
        let columns = columns(area);
        for (number, area) in self.numbers.into_iter().zip(columns.iter().skip(1)) {
            frame.render_widget(Line::from(number).right_aligned(), *area);
        }
        let [name, .., history] = columns;
        frame.render_widget(Line::from(self.name), name);
        let failures = self.history.newest(usize::from(history.width));
        frame.render_widget(Sparkline::default().data(failures).style(Color::Red), history);
    }
}

/// The places of the origin, the numbers, and the failures over time. What does not fit has no width.
fn columns(area: Rect) -> [Rect; NUMBERS.len() + 2] {
    let [accepted, failed, success, closed, abnormal] =
        NUMBERS.map(|(_, width)| Constraint::Length(width));
    let most = u16::try_from(COLUMNS).unwrap_or(u16::MAX);
    let history = area.width.saturating_sub(100).clamp(LEAST, most);
    Layout::horizontal([
        Constraint::Min(LEAST),
        accepted,
        failed,
        success,
        closed,
        abnormal,
        Constraint::Length(history),
    ])
    .spacing(1)
    .areas(area)
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.1}%", rate * 100.0))
}

#[cfg(test)]
mod tests;
