use std::collections::BTreeSet;

use super::*;
use crate::pages::page;

/// The rules in the table of `docs/lint.md`, with their rows.
fn table() -> Vec<(String, String)> {
    let text = include_str!("../../../../docs/lint.md");
    let rows = text.lines().filter_map(|line| {
        let name = line.strip_prefix("| `")?.split('`').next()?;
        Some((name.to_owned(), line.to_owned()))
    });
    let names: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    rows.filter(|(name, _)| names.contains(name.as_str())).collect()
}

#[test]
fn the_documentation_has_every_rule_with_its_code() {
    let table = table();
    for rule in Rule::ALL {
        let row = table.iter().find(|(name, _)| name == rule.name());
        let (_, row) = row.unwrap_or_else(|| panic!("{} is not in docs/lint.md", rule.name()));
        if let Some(code) = rule.code() {
            assert!(row.contains(&format!("`{}`", code.code())), "{row}");
        }
    }
    let unique: BTreeSet<_> = table.iter().map(|(name, _)| name).collect();
    assert_eq!(unique.len(), table.len());
}

#[test]
fn the_page_of_a_cause_has_what_the_advice_is_about() {
    use crate::lint::model::Product::*;
    for &rule in Rule::ALL {
        for product in [Nginx, Haproxy, Apache, Caddy, Traefik, Envoy, Alb, IngressNginx] {
            if let (Some(Code::Cause(cause)), Some(_)) = (rule.code(), advice::fix(rule, product)) {
                assert!(page(cause).contains("## The fix"), "{cause}");
            }
        }
    }
}

#[test]
fn what_passes_says_why_it_was_taken_for_websocket() {
    let place = Place { file: "a".into(), line: 1 };
    let route = Route::new(crate::lint::model::Product::Haproxy, place, "", "web".into());
    let told = judge(&route, &Role::Meant("the path's name, /ws".into()));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].verdict, Verdict::Pass);
    assert!(told[0].summary.contains("the path's name, /ws"), "{}", told[0].summary);
    assert!(judge(&route, &Role::Other).is_empty());
}
