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

/// The headings of the proxies in `The fix`, by the names that the diagnosis has for them.
const PROXIES: &[(&str, &str)] = &[
    ("nginx", "nginx"),
    ("ingress-nginx", "ingress-nginx"),
    ("haproxy", "HAProxy"),
    ("apache", "Apache"),
    ("caddy", "Caddy"),
    ("traefik", "Traefik"),
    ("envoy", "Envoy"),
    ("aws-alb", "AWS ALB"),
];

/// The names of the proxies for which pages have fixes of their own.
pub fn proxies() -> impl Iterator<Item = &'static str> {
    PROXIES.iter().map(|(name, _)| *name)
}

/// How `cause` is put right: for this proxy when the page has a part about it, else what holds for all. Without fences.
pub fn fix(cause: Cause, proxy: Option<&str>) -> String {
    let page = page(cause);
    let after = |text: &'static str, mark: &str| text.split_once(mark).map(|(_, rest)| rest);
    let fixes = after(page, "\n## The fix\n").unwrap_or_default();
    let fixes = fixes.split("\n## ").next().unwrap_or_default();
    let mut parts = fixes.split("\n### ");
    let general = parts.next().unwrap_or_default();
    let heading =
        PROXIES.iter().find(|(name, _)| Some(*name) == proxy).map(|(_, heading)| *heading);
    let own = parts
        .filter_map(|part| part.split_once('\n'))
        .find(|(name, _)| Some(*name) == heading)
        .map(|(_, text)| text);
    let lines = own.unwrap_or(general).trim().lines();
    lines.filter(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_is_that_of_the_proxy_where_there_is_one() {
        let fix_for_nginx = fix(Cause::UpgradeStripped, Some("nginx"));
        assert!(fix_for_nginx.contains("proxy_set_header Upgrade"), "{fix_for_nginx}");
        assert!(!fix_for_nginx.contains("```") && !fix_for_nginx.contains("haproxy"));
        for &cause in Cause::ALL {
            assert!(!fix(cause, None).is_empty(), "{cause}");
            for proxy in proxies() {
                assert!(!fix(cause, Some(proxy)).contains("\n### "), "{cause} {proxy}");
            }
        }
    }
}
