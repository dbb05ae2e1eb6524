//! The pages about causes, which this program carries with it.

use include_dir::{Dir, include_dir};

use crate::diagnose::Cause;

/// `docs/causes`.
pub static PAGES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../docs/causes");

/// The page of `cause`, in Markdown. A test sees to it that every cause has one.
pub fn page(cause: Cause) -> &'static str {
    PAGES
        .get_file(format!("{cause}.md"))
        .and_then(include_dir::File::contents_utf8)
        .unwrap_or_default()
}

/// What `cause` means, in one line: the page's first one, without the code.
pub fn meaning(cause: Cause) -> &'static str {
    page(cause)
        .lines()
        .next()
        .and_then(|title| title.split_once(": "))
        .map(|(_, meaning)| meaning)
        .unwrap_or_default()
}
