//! `wstap explain`: what a cause means, what proves it and how it is put right.
//!
//! In: a cause's code, or none, and products. Out: its page from `docs/causes`, which this program carries with
//! it, or the list of all codes. A terminal gets it styled, everything else gets the Markdown.

mod products;

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use self::products::Asked;
use super::print;
use crate::{
    diagnose::Cause,
    pages::{meaning, page},
    sink::render::Format,
};

/// At most so many codes are proposed for one that does not exist.
const MAX_PROPOSALS: usize = 4;
/// How near a code must be to be proposed (Jaro-Winkler, 1 is equal).
const MIN_SIMILARITY: f64 = 0.75;

const TITLE: Style = Style::new().bold();
const SECTION: Style = AnsiColor::Yellow.on_default().bold();
const SUBJECT: Style = AnsiColor::Cyan.on_default().bold();
const CODE: Style = AnsiColor::Green.on_default();

#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("there is no cause {name:?}: did you mean {}?", proposals.join(", "))]
    Misspelt { name: String, proposals: Vec<&'static str> },
    #[error("there is no cause {0:?}: `wstap explain` without a cause lists them all")]
    NoSuchCause(String),
    #[error("there is no {kind} {name:?}: did you mean {}?", proposals.join(", "))]
    MisspeltProduct { kind: &'static str, name: String, proposals: Vec<&'static str> },
    #[error("there is no {kind} {name:?}: `wstap explain --{kind}` without a name lists them all")]
    NoSuchProduct { kind: &'static str, name: String },
}

pub(super) fn run(
    cause: Option<&str>,
    server: Option<&str>,
    proxy: Option<&str>,
) -> anyhow::Result<()> {
    let styled = matches!(Format::of_stdout(false), Format::Text { colour: true, .. });
    if let Some(names) = products::list(server, proxy) {
        return print(names.as_bytes());
    }
    let asked = Asked::find(server, proxy)?;
    let cause = cause.map(find).transpose()?;
    let text = match cause {
        None if asked.is_empty() => list(styled),
        Some(cause) if asked.is_empty() => page(cause).to_owned(),
        Some(cause) => format!("# {cause}: {}\n\n{}", meaning(cause), asked.page(Some(cause))),
        None => asked.page(None),
    };
    let is_page = cause.is_some() || !asked.is_empty();
    print(if is_page && styled { style(&text) } else { text }.as_bytes())
}

/// The cause called `name`; case, and `_` or a space for `-`, do not matter.
fn find(name: &str) -> Result<Cause, ExplainError> {
    let wanted = name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    if let Some(cause) = Cause::ALL.iter().find(|cause| cause.code() == wanted) {
        return Ok(*cause);
    }
    let proposals = nearest(&wanted, &mut Cause::ALL.iter().map(|cause| cause.code()));
    if proposals.is_empty() {
        return Err(ExplainError::NoSuchCause(name.to_owned()));
    }
    Err(ExplainError::Misspelt { name: name.to_owned(), proposals })
}

/// Those of `names` that are near to `wanted`, the nearest first.
fn nearest(wanted: &str, names: &mut dyn Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut near: Vec<(f64, &'static str)> = names
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(similarity, name)| {
            *similarity >= MIN_SIMILARITY || (!wanted.is_empty() && name.contains(wanted))
        })
        .collect();
    near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    near.truncate(MAX_PROPOSALS);
    near.into_iter().map(|(_, name)| name).collect()
}

/// All codes with their meanings, a line each.
fn list(styled: bool) -> String {
    let style = if styled { SUBJECT } else { Style::new() };
    let width = Cause::ALL.iter().map(|cause| cause.code().len()).max().unwrap_or_default();
    let mut text = String::new();
    for &cause in Cause::ALL {
        let _ = writeln!(text, "{style}{:width$}{style:#}  {}", cause.code(), meaning(cause));
    }
    text
}

/// The page for a terminal: headings and code by colour instead of by marks.
fn style(page: &str) -> String {
    let mut text = String::with_capacity(page.len() * 2);
    let mut fenced = false;
    let mut quoted = false;
    for line in page.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let _ = writeln!(text, "    {CODE}{line}{CODE:#}");
        } else if let Some((mark, heading)) =
            line.split_once("# ").filter(|(mark, _)| is_mark(mark))
        {
            let style = match mark {
                "" => TITLE,
                "#" => SECTION,
                _ => SUBJECT,
            };
            let _ = writeln!(text, "{style}{heading}{style:#}");
        } else {
            quoted &= !line.is_empty();
            inline(line, &mut quoted, &mut text);
        }
    }
    text
}

fn is_mark(mark: &str) -> bool {
    mark.bytes().all(|byte| byte == b'#')
}

/// One line of prose; `quoted` says whether it starts inside a code span, and then whether it ends in one.
fn inline(line: &str, quoted: &mut bool, text: &mut String) {
    for (index, part) in line.split('`').enumerate() {
        *quoted ^= index > 0;
        let style = if *quoted { CODE } else { Style::new() };
        let _ = write!(text, "{style}{part}{style:#}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, process::Command};

    use super::*;
    use crate::pages::PAGES;

    const SECTIONS: [&str; 6] = [
        "What it means",
        "In the browser",
        "What proves it",
        "What disproves it",
        "The fix",
        "Unsafe fixes",
    ];
    /// The parts of `The fix`, in the order in which a page has them.
    const SUBJECTS: [&str; 11] = [
        "The page",
        "The client",
        "The server",
        "nginx",
        "ingress-nginx",
        "HAProxy",
        "Apache",
        "Caddy",
        "Traefik",
        "Envoy",
        "AWS ALB",
    ];

    /// The text between the page's headings of this `level`, outside of fences.
    fn sections<'a>(page: &'a str, level: &str) -> Vec<(&'a str, String)> {
        let mut found: Vec<(&str, String)> = Vec::new();
        let mut fenced = false;
        for line in page.lines() {
            fenced ^= line.starts_with("```");
            match line.strip_prefix(level).and_then(|rest| rest.strip_prefix(' ')) {
                Some(heading) if !fenced => found.push((heading, String::new())),
                _ => {
                    if let Some((_, text)) = found.last_mut() {
                        text.push_str(line);
                        text.push('\n');
                    }
                }
            }
        }
        found
    }

    #[test]
    fn every_cause_has_a_page_and_every_page_a_cause() {
        let pages: BTreeSet<_> =
            PAGES.files().map(|file| file.path().display().to_string()).collect();
        let causes: BTreeSet<_> = Cause::ALL.iter().map(|cause| format!("{cause}.md")).collect();
        assert_eq!(pages, causes);
        for &cause in Cause::ALL {
            assert!(page(cause).starts_with(&format!("# {cause}: ")), "{cause}: title");
            assert!(meaning(cause).len() > 10, "{cause}: meaning");
        }
    }

    #[test]
    fn every_page_has_every_section_in_order_and_none_is_empty() {
        for &cause in Cause::ALL {
            let found = sections(page(cause), "##");
            let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, SECTIONS, "{cause}");
            for (name, text) in found {
                assert!(!text.trim().is_empty(), "{cause}: {name} is empty");
            }
        }
    }

    #[test]
    fn fixes_name_known_subjects_and_none_is_empty() {
        for &cause in Cause::ALL {
            let found = sections(page(cause), "##");
            let subjects = sections(&found[4].1, "###");
            assert!(!subjects.is_empty(), "{cause}: no fix");
            for (subject, text) in subjects {
                assert!(SUBJECTS.contains(&subject), "{cause}: {subject}");
                // Prose or a snippet that opens and closes.
                assert!(!text.trim().is_empty(), "{cause}: {subject} is empty");
                assert_eq!(text.matches("\n```").count() % 2, 0, "{cause}: {subject}: open fence");
            }
        }
    }

    #[test]
    fn pages_fit_a_terminal() {
        for &cause in Cause::ALL {
            for line in page(cause).lines() {
                assert!(line.chars().count() <= 100, "{cause}: {line}");
            }
        }
    }

    #[test]
    fn nginx_takes_every_nginx_snippet() {
        let directory = tempfile::tempdir().unwrap();
        let prefix = directory.path().display();
        for &cause in Cause::ALL {
            let found = sections(page(cause), "##");
            for (subject, text) in sections(&found[4].1, "###") {
                if subject != "nginx" {
                    continue;
                }
                for snippet in text.split("```nginx\n").skip(1) {
                    let snippet = snippet.split("```").next().unwrap();
                    // A port of its own for each, so that the test needs neither port 80 nor root.
                    let snippet = snippet
                        .replace("server {", &format!("server {{ listen unix:{prefix}/socket;"));
                    let file = directory.path().join("nginx.conf");
                    std::fs::write(
                        &file,
                        format!(
                            "pid {prefix}/pid; error_log stderr; events {{}}
                             http {{ access_log off; {snippet} }}"
                        ),
                    )
                    .unwrap();
                    let output = Command::new("nginx")
                        .args(["-t", "-q", "-e", "stderr", "-c"])
                        .arg(&file)
                        .output()
                        .expect("nginx is missing: `cargo xtask setup` installs it");
                    assert!(
                        output.status.success(),
                        "{cause}: {}\n{snippet}",
                        String::from_utf8_lossy(&output.stderr)
                    );
                }
            }
        }
    }

    #[test]
    fn the_list_has_a_line_for_each_cause() {
        let text = list(false);
        assert_eq!(text.lines().count(), Cause::ALL.len());
        for &cause in Cause::ALL {
            assert!(text.lines().any(
                |line| line.starts_with(&format!("{cause} ")) && line.ends_with(meaning(cause))
            ));
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn spelling_is_forgiven_or_answered_with_the_nearest_codes() {
        assert_eq!(find("Origin_Null").unwrap(), Cause::OriginNull);
        assert_eq!(find("upgrade stripped").unwrap(), Cause::UpgradeStripped);
        let message = find("upgrade-striped").unwrap_err().to_string();
        assert!(message.contains("did you mean upgrade-stripped"), "{message}");
        let message = find("proto").unwrap_err().to_string();
        assert!(message.contains("forwarded-proto-missing"), "{message}");
        for nonsense in ["zzzz", "", "\u{1b}[31m"] {
            let message = find(nonsense).unwrap_err().to_string();
            assert!(message.contains("lists them all") && !message.contains('\u{1b}'), "{message}");
        }
    }

    #[test]
    fn a_terminal_gets_colours_and_no_marks() {
        let text =
            style("# code: title\n\n## Part\n\na `b\nc` d\n\n```nginx\n# comment `x`\n```\n");
        let plain = text.split('\x1b').map(|part| {
            part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |(_, rest)| rest)
        });
        assert_eq!(
            plain.collect::<String>(),
            "code: title\n\nPart\n\na b\nc d\n\n    # comment `x`\n"
        );
        assert!(text.contains("\x1b["));
    }
}
