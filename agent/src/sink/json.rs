//! An event as one line of JSON.
//!
//! In: an event, whose texts a client or a server chose. Out: a line that does no harm where it is
//! shown as it is: what a terminal acts on, or what hides what it says, is escaped.

use std::fmt::Write as _;

use crate::event::Event;

/// The event and a line feed.
pub(super) fn line(event: &Event) -> String {
    // Events hold strings, numbers and enums only: there is nothing in them that JSON has not.
    let mut text = serde_json::to_string(event).unwrap_or_default();
    if text.bytes().any(|byte| !byte.is_ascii_graphic() && byte != b' ') {
        text = escaped(&text);
    }
    text.push('\n');
    text
}

/// JSON leaves DEL, the C1 control characters and invisible characters as they are; they can stand
/// only inside strings, where `\u` and four digits mean the same.
pub(crate) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        let shows = match character {
            ' '..='~' => true,
            _ => character.escape_debug().len() == 1,
        };
        if shows {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::event::{Event, HandshakeEvent, sample::refused};

    #[test]
    fn what_a_terminal_acts_on_is_escaped_and_means_the_same() {
        let hostile = "\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\u{200b}\u{e0001}\r\n\u{2028}";
        let event = Event::Handshake(HandshakeEvent {
            path: format!("/grüße/🦀/\"\\{hostile}"),
            ..refused()
        });
        let text = line(&event);
        assert_eq!(text.matches('\n').count(), 1);
        let unseen = |character: &char| {
            character.is_control() || "\u{202e}\u{200b}\u{2028}\u{e0001}".contains(*character)
        };
        assert_eq!(text.trim_end_matches('\n').chars().find(unseen), None, "{text:?}");
        assert!(text.contains("/grüße/🦀/"), "{text}");
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
